"""What a wide execution costs: watched from its start to its end, with the memory of all processes meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec

from bench.benchmark import Results
from bench.figures import duration_s
from bench.target import TERMINATED, Target

TIMEOUT_S: Final = 3600.0
"""The widest takes minutes, on a slow machine some ten; after this it hangs."""
LOOK_S: Final = 0.5
"""Between two looks: short beside what a wide execution takes."""


class Wide(msgspec.Struct, frozen=True, kw_only=True):
    """What a wide execution took; memory and processor time are empty where processes cannot be looked at."""

    seconds: float
    memory_mb: dict[str, float]
    """The most that each process had."""
    cpu_s: dict[str, float]
    """What each process used: it depends less than time on what else the machine does."""


async def watched(target: Target, flow_id: str) -> Wide:
    """Run a flow; return what it took."""
    before = {} if target.processes is None else target.processes.cpu_s()
    execution_id = await target.start(flow_id)
    most: dict[str, float] = {}
    deadline = time.monotonic() + TIMEOUT_S
    while (execution := await _head(target, flow_id, execution_id))["state"]["current"] not in TERMINATED:
        if target.processes is not None:
            for name, megabytes in target.processes.memory_mb().items():
                most[name] = max(most.get(name, 0.0), megabytes)
        if time.monotonic() > deadline:
            raise RuntimeError(f"The flow '{flow_id}' did not end within {TIMEOUT_S:g} s.")
        await asyncio.sleep(LOOK_S)  # the server is elsewhere, and a follower would load it
    if execution["state"]["current"] != "SUCCESS":
        raise RuntimeError(f"The flow '{flow_id}' ended {execution['state']['current']}.")
    after = {} if target.processes is None else target.processes.cpu_s()
    used = {name: round(seconds - before.get(name, 0.0), 2) for name, seconds in after.items()}
    return Wide(seconds=duration_s(execution), memory_mb=most, cpu_s=used)


async def compared(target: Target, small: str, large: str) -> tuple[Wide, Wide]:
    """
    Run the flow `small`, `large` and `small` again; return what the small one took in the middle, and the large one.

    A machine that is shared is not as quick at one time as at another: the small runs are before and after the large.
    """
    before = await watched(target, small)
    wide = await watched(target, large)
    after = await watched(target, small)
    return _middle(before, after), wide


def _middle(one: Wide, other: Wide) -> Wide:
    return Wide(
        seconds=(one.seconds + other.seconds) / 2,
        memory_mb=one.memory_mb,  # the large run leaves memory behind
        cpu_s={name: (used + other.cpu_s[name]) / 2 for name, used in one.cpu_s.items()},
    )


async def _head(target: Target, flow_id: str, execution_id: str) -> dict[str, Any]:
    """Return the execution as the search shows it: without its task runs, which are many."""
    found = await target.search("/executions/search", size=10, flowId=flow_id, namespace="bench")
    head: dict[str, Any] = {"state": {"current": "CREATED"}}  # not indexed yet
    return next((each for each in found.get("results", ()) if each["id"] == execution_id), head)


def figures(small: Wide, large: Wide, times: float, *, small_name: str = "10th") -> Results:
    """
    Return durations, whether they are linear (10 when they are), the memory and the processor time.

    `growth_mb` is how much more memory the process had that grew most, of all of them, PostgreSQL's included.
    `large` was `times` as wide as `small`, which figures call `small_name`.
    """
    results: Results = {
        "seconds": round(large.seconds, 2),
        f"seconds_{small_name}": round(small.seconds, 2),
        f"ratio_to_{small_name}": round(large.seconds / small.seconds * 10 / times, 2),
    }
    if large.memory_mb:
        growth = {name: round(most - small.memory_mb.get(name, 0.0), 1) for name, most in large.memory_mb.items()}
        results |= {"executor_mb": large.memory_mb["executor"], "memory_by_process": large.memory_mb}
        results |= {"growth_mb": max(growth.values()), "growth_by_process": growth}
    if large.cpu_s:
        ratio = sum(large.cpu_s.values()) / sum(small.cpu_s.values())
        results |= {f"cpu_ratio_to_{small_name}": round(ratio * 10 / times, 2), "cpu_s_by_process": large.cpu_s}
    return results
