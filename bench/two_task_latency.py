"""How long somebody waits for an execution of two tasks on a server at rest."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import duration_s, percentile
from bench.target import Target

WARM: Final = 30
"""Executions before the measured ones: caches and connections are there then."""
COUNT: Final = 300
"""Enough for a 99th percentile."""
PAUSE_S: Final = 0.02
"""Between two: each finds a server at rest."""


async def measure(target: Target) -> Results:
    """Start one after the other, each when the one before has been seen to succeed."""
    await target.put_flow(flows.TWO_TASKS)
    times, inner = [], []
    for _ in range(WARM + COUNT):
        began = time.perf_counter()
        execution = await target.ended(await target.start("two-tasks"), every_s=0)
        times.append((time.perf_counter() - began) * 1000)
        inner.append(duration_s(execution) * 1000)
        assert execution["state"]["current"] == "SUCCESS", execution["state"]
        await asyncio.sleep(PAUSE_S)  # the next one finds a server at rest
    times, inner = times[WARM:], inner[WARM:]
    return {
        "p50_ms": round(percentile(times, 50), 2),
        "p95_ms": round(percentile(times, 95), 2),
        "history_p50_ms": round(percentile(inner, 50), 2),
    }


BENCHMARK = Benchmark(
    name="two_task_latency",
    method=(
        f"{COUNT} executions of two Return tasks after {WARM} to warm up, one after the other; from sending the POST "
        "until a GET shows SUCCESS, asked again as soon as it is answered, all on one connection. history_p50_ms is "
        "what the executions' own histories say."
    ),
    units={"p50_ms": Unit.TIME, "p95_ms": Unit.TIME, "history_p50_ms": Unit.TIME},
    measure=measure,
)
