"""What a server costs that has nothing to do."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target

SETTLE_S: Final = 10.0
"""After this nothing of the start goes on."""
WATCH_S: Final = 30.0
"""Long enough for every regular look of all processes to be among what is measured."""


async def measure(target: Target) -> Results:
    """Let it settle, then watch."""
    assert target.server is not None
    assert target.processes is not None
    await asyncio.sleep(SETTLE_S)  # the start itself is not rest
    before, began = target.processes.cpu_s(), time.monotonic()
    await asyncio.sleep(WATCH_S)  # the processor is watched for this while
    after, passed = target.processes.cpu_s(), time.monotonic() - began
    memory = target.processes.memory_mb()
    used = {name: after[name] - before.get(name, 0.0) for name in after}
    return {
        "ready_s": round(target.server.ready_s, 2),
        "memory_mb": round(sum(memory.values()), 1),
        "cpu_percent": round(100 * sum(used.values()) / passed, 2),
        "memory_by_process": memory,
        "cpu_by_process": {name: round(100 * seconds / passed, 2) for name, seconds in used.items()},
    }


BENCHMARK = Benchmark(
    name="idle",
    method=(
        "ready_s: from starting the command in an empty folder (making a database cluster included) until all "
        f"processes are ready; then {SETTLE_S:g} s of rest and {WATCH_S:g} s of watching: the sum of proportional set "
        "sizes and of processor time of all processes, PostgreSQL included; 100 % is one core."
    ),
    units={"ready_s": Unit.TIME, "cpu_percent": Unit.TIME},
    measure=measure,
    needs_own_server=True,
)
