"""Whether a loop over a hundred thousand values costs ten times as much as one over ten thousand."""

from __future__ import annotations

import asyncio
from typing import Any

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import instant
from bench.target import TERMINATED, Target


async def measure(target: Target) -> Results:
    """Run both loops, watching the executor's memory."""
    small, _ = await _loop(target, 10_000)
    large, executor_mb = await _loop(target, 100_000)
    return {
        "seconds": round(large, 2),
        "seconds_10k": round(small, 2),
        "ratio_to_10k": round(large / small, 2),
        "executor_mb": executor_mb,
    }


async def _loop(target: Target, count: int) -> tuple[float, float | None]:
    await target.put_flow(flows.loop(count, 0))
    execution_id = await target.start(f"loop-{count}-0")
    most: float | None = None
    while (state := await _state(target, execution_id))["current"] not in TERMINATED:
        if target.processes is not None:
            most = max(most or 0.0, target.processes.memory_mb().get("executor", 0.0))
        await asyncio.sleep(1.0)
    assert state["current"] == "SUCCESS", state
    return instant(state["histories"][-1]["date"]) - instant(state["histories"][0]["date"]), most


async def _state(target: Target, execution_id: str) -> dict[str, Any]:
    """Return the state of an execution without its task runs, which are many."""
    found = await target.call("GET", f"/executions/{execution_id}/state")
    state: dict[str, Any] = found["state"] if found else (await target.execution(execution_id))["state"]
    return state


BENCHMARK = Benchmark(
    name="foreach_100k",
    method=(
        "ForEach over 100,000 values with one Return task, after one over 10,000; ratio_to_10k is the quotient of "
        "the two durations (10 is linear); executor_mb the executor's largest proportional set size, looked at every "
        "second."
    ),
    units={"seconds": Unit.TIME, "seconds_10k": Unit.TIME},
    measure=measure,
)
