"""Whether a loop over a hundred thousand values costs ten times as much as one over ten thousand."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import duration_s
from bench.target import TERMINATED, Target

SMALL: Final = 10_000
LARGE: Final = int(os.environ.get("BENCH_LOOP_ITEMS", "100000"))
TIMEOUT_S: Final = 1800.0
LOOK_S: Final = 0.5


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
    await target.start(f"loop-{count}-0")
    most: dict[str, float] = {}
    deadline = time.monotonic() + TIMEOUT_S
    while (execution := await _head(target, count))["state"]["current"] not in TERMINATED:
        if target.processes is not None:
            for name, megabytes in target.processes.memory_mb().items():
                most[name] = max(most.get(name, 0.0), megabytes)
        if time.monotonic() > deadline:
            raise RuntimeError(f"A loop over {count:,} values did not end within {TIMEOUT_S:g} s.")
        await asyncio.sleep(LOOK_S)
    assert execution["state"]["current"] == "SUCCESS", execution["state"]
    return duration_s(execution), most


async def _head(target: Target, count: int) -> dict[str, Any]:
    """Return the execution as the search shows it: without its task runs, which are many."""
    found = await target.search("/executions/search", flowId=f"loop-{count}-0", namespace="bench")
    results = found.get("results") or [{"state": {"current": "CREATED"}}]  # not indexed yet
    head: dict[str, Any] = results[0]
    return head


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
