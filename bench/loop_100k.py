"""Whether a Loop over a hundred thousand values, each an execution of its own, costs ten times one over a tenth."""

from __future__ import annotations

import os
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target
from bench.wide import figures, watched

LARGE: Final = int(os.environ.get("BENCH_LOOP_ITEMS", "100000"))
SMALL: Final = LARGE // 10


async def measure(target: Target) -> Results:
    """Run both loops, watching the memory of the processes."""
    for count in (SMALL, LARGE):
        await target.put_flow(flows.iterations(count, 0))
    small, _ = await watched(target, f"iterations-{SMALL}-0")
    large, memory = await watched(target, f"iterations-{LARGE}-0")
    return figures(small, large, LARGE / SMALL, memory)


BENCHMARK = Benchmark(
    name="loop_100k",
    method=(
        f"Loop over {LARGE:,} values, each an execution with one Return task whose output is fetched, after one over "
        f"{SMALL:,}; durations by the executions' own histories; ratio_to_10th is their quotient (10 is linear); "
        "memory is the largest proportional set size of each process meanwhile."
    ),
    units={"seconds": Unit.TIME, "seconds_10th": Unit.TIME},
    measure=measure,
)
