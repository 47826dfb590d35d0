"""How long somebody waits for an execution of two tasks on a server at rest."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import percentile
from bench.target import Target

WARM: Final = 20
COUNT: Final = 200
POLL_S: Final = 0.002


async def measure(target: Target) -> Results:
    """Start one after the other, each when the one before has been seen to succeed."""
    await target.put_flow(flows.TWO_TASKS)
    times = []
    for _ in range(WARM + COUNT):
        began = time.perf_counter()
        execution = await target.ended(await target.start("two-tasks"), every_s=POLL_S)
        times.append((time.perf_counter() - began) * 1000)
        assert execution["state"]["current"] == "SUCCESS", execution["state"]
        await asyncio.sleep(0.02)
    times = times[WARM:]
    return {"p50_ms": round(percentile(times, 50), 2), "p95_ms": round(percentile(times, 95), 2)}


BENCHMARK = Benchmark(
    name="two_task_latency",
    method=(
        f"{COUNT} executions of two Return tasks after {WARM} to warm up, one after the other; from sending the POST "
        f"until a GET (asked again every {POLL_S * 1000:g} ms) shows SUCCESS."
    ),
    units={"p50_ms": Unit.TIME, "p95_ms": Unit.TIME},
    measure=measure,
)
