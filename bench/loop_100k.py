"""Whether a Loop over a hundred thousand values, each an execution of its own, costs ten times one over a tenth."""

from __future__ import annotations

import os
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target
from bench.wide import compared, figures

LARGE: Final = int(os.environ.get("BENCH_LOOP_ITEMS", "100000"))
SMALL: Final = LARGE // 10
"""A tenth of it: cost that is linear shows as a ratio of ten."""


async def measure(target: Target) -> Results:
    """Run both loops, watching the memory of the processes."""
    for count in (SMALL, LARGE):
        await target.put_flow(flows.iterations(count, 0))
    small, large = await compared(target, f"iterations-{SMALL}-0", f"iterations-{LARGE}-0")
    results = figures(small, large, LARGE / SMALL)
    results["iteration_ms"] = round(large.seconds / LARGE * 1000, 3)
    return results


BENCHMARK = Benchmark(
    name="loop_100k",
    method=(
        f"Loop over {LARGE:,} values, each an execution with one Return task whose output is fetched, between two over "
        f"{SMALL:,}; durations by the executions' own histories; ratio_to_10th is their quotient (10 is linear), "
        "cpu_ratio_to_10th that of the processor time of all processes; memory is the largest proportional set size of "
        "each process meanwhile, growth_mb how much more the one that grew most had than before; "
        "iteration_ms is what one iteration took on average."
    ),
    units={"seconds": Unit.TIME, "seconds_10th": Unit.TIME, "iteration_ms": Unit.TIME},
    measure=measure,
)
