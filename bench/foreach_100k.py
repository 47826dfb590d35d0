"""Whether a loop over a hundred thousand values costs ten times as much as one over ten thousand."""

from __future__ import annotations

import os
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target
from bench.wide import LOOK_S, watched

SMALL: Final = 10_000
LARGE: Final = int(os.environ.get("BENCH_LOOP_ITEMS", "100000"))


async def measure(target: Target) -> Results:
    """Run both loops, watching the memory of the processes."""
    small, _ = await _loop(target, SMALL)
    large, memory = await _loop(target, LARGE)
    results: Results = {
        "seconds": round(large, 2),
        "seconds_10k": round(small, 2),
        "ratio_to_10k": round(large / small * SMALL * 10 / LARGE, 2),
    }
    if memory:
        results |= {"executor_mb": memory["executor"], "memory_by_process": memory}
    return results


async def _loop(target: Target, count: int) -> tuple[float, dict[str, float]]:
    await target.put_flow(flows.loop(count, 0))
    return await watched(target, f"loop-{count}-0")


BENCHMARK = Benchmark(
    name="foreach_100k",
    method=(
        f"ForEach over {LARGE:,} values with one Return task, after one over {SMALL:,}; durations by the executions' "
        "own histories; ratio_to_10k is their quotient (10 is linear); executor_mb the executor's largest "
        f"proportional set size, looked at every {LOOK_S:g} s."
    ),
    units={"seconds": Unit.TIME, "seconds_10k": Unit.TIME},
    measure=measure,
)
