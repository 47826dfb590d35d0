"""What a wide execution costs: watched from its start to its end, with the memory of all processes meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from bench.benchmark import Results
from bench.figures import duration_s
from bench.target import TERMINATED, Target

TIMEOUT_S: Final = 3600.0
LOOK_S: Final = 0.5


async def watched(target: Target, flow_id: str) -> tuple[float, dict[str, float]]:
    """Run a flow; return how many seconds it took, and the most memory that each process had."""
    await target.start(flow_id)
    most: dict[str, float] = {}
    deadline = time.monotonic() + TIMEOUT_S
    while (execution := await _head(target, flow_id))["state"]["current"] not in TERMINATED:
        if target.processes is not None:
            for name, megabytes in target.processes.memory_mb().items():
                most[name] = max(most.get(name, 0.0), megabytes)
        if time.monotonic() > deadline:
            raise RuntimeError(f"The flow '{flow_id}' did not end within {TIMEOUT_S:g} s.")
        await asyncio.sleep(LOOK_S)
    if execution["state"]["current"] != "SUCCESS":
        raise RuntimeError(f"The flow '{flow_id}' ended {execution['state']['current']}.")
    return duration_s(execution), most


async def _head(target: Target, flow_id: str) -> dict[str, Any]:
    """Return the execution as the search shows it: without its task runs, which are many."""
    found = await target.search("/executions/search", flowId=flow_id, namespace="bench")
    results = found.get("results") or [{"state": {"current": "CREATED"}}]  # not indexed yet
    head: dict[str, Any] = results[0]
    return head


def figures(small: float, large: float, times: float, memory: dict[str, float]) -> Results:
    """Return both durations, whether they are linear (10 when they are), and the memory."""
    results: Results = {
        "seconds": round(large, 2),
        "seconds_10th": round(small, 2),
        "ratio_to_10th": round(large / small * 10 / times, 2),
    }
    if memory:
        results |= {"executor_mb": memory["executor"], "memory_by_process": memory}
    return results
