"""How fast log lines become searchable."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import since
from bench.target import Target

LINES: Final = 10_000
"""Many batches of the worker and several of the indexer."""
RUNS: Final = 3
"""The best of so many is told."""
TIMEOUT_S: Final = 120.0
"""Lines take a second; after this they are lost."""
LOOK_S: Final = 0.02
"""Between two searches: what is measured takes seconds."""


async def measure(target: Target) -> Results:
    """Let a script print the lines, and search until all are found."""
    await target.put_flow(flows.LOG_LINES)
    best = 0.0
    for _ in range(RUNS):
        execution_id = await target.start("log-lines")
        deadline = time.monotonic() + TIMEOUT_S
        while (found := (await target.search("/logs/search", executionId=execution_id)).get("total", 0)) < LINES:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Only {found} of {LINES} lines were found within {TIMEOUT_S:g} s.")
            await asyncio.sleep(LOOK_S)  # lines come through the indexer, which announces none
        seen = time.time()
        best = max(best, LINES / (seen - since((await target.execution(execution_id))["taskRunList"][0], "RUNNING")))
    return {"per_second": round(best)}


BENCHMARK = Benchmark(
    name="log_lines",
    method=(
        f"One shell step prints {LINES:,} lines; from its start until a search of its execution's logs (every 20 ms) "
        f"counts all of them; best of {RUNS}."
    ),
    units={"per_second": Unit.RATE},
    measure=measure,
)
