"""How many executions of one task a second the server keeps up with."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import instant, percentile
from bench.target import TERMINATED, Target

RATE_FIRST: Final = float(os.environ.get("BENCH_RATE_FIRST", "100"))
GROWTH: Final = 1.5
"""Between two rates: the refinements close the gap."""
STEP_S: Final = 8.0
"""How long a rate is held: a queue that grows shows within it."""
GRACE_S: Final = 5.0
"""An execution counts when it has ended so long after the last request."""
ENOUGH: Final = 0.99
"""The share that must have ended by then."""
SAMPLES_MAX: Final = 500
"""Executions of a step that are asked for: to ask for all would be a load of its own."""
REFINEMENTS: Final = 2
"""Bisections between the last rate that held and the first that did not: they leave a quarter of the gap."""
CONNECTIONS: Final = 64
"""More than a client of this load needs at a time."""
LAST: Final = 20
"""So many of a step's last executions are awaited before the next step, so that it begins at rest."""


async def measure(target: Target) -> Results:
    """Raise the rate until the server falls behind, then look closer."""
    await target.put_flow(flows.ONE_TASK)
    await _step(target, RATE_FIRST / 2)  # warm
    best: Results | None = None
    rate, failed = RATE_FIRST, 0.0
    steps = []
    while not failed:
        found = await _step(target, rate)
        steps.append(found)
        if found["share"] >= ENOUGH:
            best, rate = found, rate * GROWTH
        else:
            failed = rate
    for _ in range(REFINEMENTS if best else 0):
        assert best is not None
        found = await _step(target, (best["rate"] + failed) / 2)
        steps.append(found)
        if found["share"] >= ENOUGH:
            best = found
        else:
            failed = found["rate"]
    if best is None:
        return {"per_second": 0.0, "steps": steps}
    keys = ("p50_ms", "p95_ms", "p99_ms", "client_us")
    return {"per_second": round(best["rate"]), **{key: best[key] for key in keys}, "steps": steps}


async def _step(target: Target, rate: float) -> Results:
    """Offer a rate for a while, open loop; return what share ended in time, and the latencies of a sample."""
    connections = await target.connections(CONNECTIONS)
    count = int(rate * STEP_S)
    cpu = target.processes.cpu_s() if target.processes is not None else {}
    offered = await connections.offer(target.post("bench", "one-task", {"name": "bench"}), rate, count)
    deadline = time.time() + GRACE_S
    await asyncio.wait(offered.answers, timeout=GRACE_S)  # what comes later is late
    answered = sum(answer.done() for answer in offered.answers)
    if answered < count:
        await asyncio.wait(offered.answers)
    await asyncio.sleep(max(0.0, deadline - time.time()))  # who is late by now is late: nothing else is to be awaited
    if target.processes is not None:
        used = {name: seconds - cpu.get(name, 0.0) for name, seconds in target.processes.cpu_s().items()}
        cpu = {name: round(seconds * 1000 / count, 3) for name, seconds in used.items()}
    latencies = []
    sample = range(0, count, max(1, count // SAMPLES_MAX))
    for number in sample:
        execution_id = await target.accepted(offered.answers[number])
        end = await _end(target, execution_id) if execution_id is not None else None
        if end is not None and end <= deadline:
            latencies.append((end - offered.due[number]) * 1000)
    for answer in offered.answers[-LAST:]:
        if execution_id := await target.accepted(answer):
            await target.ended(execution_id)
    figures = {f"p{each}_ms": round(percentile(latencies, each), 1) for each in (50, 95, 99)} if latencies else {}
    share = min(len(latencies) / len(sample), answered / count)
    client_us = round(offered.client_cpu_s * 1e6 / count, 1)
    print(f"  {rate:7.0f}/s: {share:6.1%} in time {figures} client {client_us} us a request", flush=True)
    return {"rate": rate, "share": round(share, 4), **figures, "client_us": client_us, "cpu_ms": cpu}


async def _end(target: Target, execution_id: str) -> float | None:
    execution = await target.execution(execution_id)
    state: dict[str, Any] = execution.get("state", {})
    return instant(state["histories"][-1]["date"]) if state.get("current") in TERMINATED else None


BENCHMARK = Benchmark(
    name="one_task",
    method=(
        f"Open loop: multipart POSTs with one input at a fixed rate for {STEP_S:g} s over {CONNECTIONS} keep-alive "
        f"connections; the rate grows by {GROWTH:g} until less than {ENOUGH:.0%} have ended {GRACE_S:g} s after the "
        f"last request, then {REFINEMENTS} bisections; per_second is the highest rate that held. Of about "
        f"{SAMPLES_MAX} executions per step, evenly spread, GET is asked after that grace; latency is from the "
        "planned instant of the request to the instant of the last state. client_us: processor time of the load "
        "generator per request, which shares the cores."
    ),
    units={
        "per_second": Unit.RATE,
        "p50_ms": Unit.TIME,
        "p95_ms": Unit.TIME,
        "p99_ms": Unit.TIME,
        "client_us": Unit.TIME,
    },
    measure=measure,
)
