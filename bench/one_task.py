"""How many executions of one task a second the server keeps up with."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import instant, percentile
from bench.target import TERMINATED, Target

RATE_FIRST: Final = 100.0
GROWTH: Final = 1.5
STEP_S: Final = 8.0
GRACE_S: Final = 5.0
"""An execution counts when it has ended so long after the last request."""
ENOUGH: Final = 0.99
SAMPLES_MAX: Final = 500
REFINEMENTS: Final = 2
CONNECTIONS: Final = 64


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
    return {
        "per_second": round(best["rate"]),
        **{key: best[key] for key in ("p50_ms", "p95_ms", "p99_ms")},
        "steps": steps,
    }


async def _step(target: Target, rate: float) -> Results:
    """Offer a rate for a while, open loop; return what share ended in time, and the latencies of a sample."""
    connections = await target.connections(CONNECTIONS)
    content = target.post("bench", "one-task", {"name": "bench"})
    loop = asyncio.get_running_loop()
    count = int(rate * STEP_S)
    answers, sent_at = [], []
    begin, wall = loop.time(), time.time() - loop.time()
    for number in range(count):
        due = begin + number / rate
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        answers.append(connections.send(content))
        sent_at.append(due + wall)
        if number % 50 == 0:
            await asyncio.sleep(0)
    deadline = time.time() + GRACE_S
    await asyncio.wait(answers, timeout=GRACE_S)
    accepted = [answer.done() and answer.exception() is None and answer.result()[0] == 200 for answer in answers]
    await asyncio.sleep(max(0.0, deadline - time.time()))
    stride = max(1, count // SAMPLES_MAX)
    latencies, ended = [], 0
    sample = range(0, count, stride)
    for number in sample:
        end = await _end(target, answers[number].result()[1]) if accepted[number] else None
        if end is not None and end <= deadline:
            ended += 1
            latencies.append((end - sent_at[number]) * 1000)
    await asyncio.wait(answers)
    await _drained(target, answers)
    share = min(ended / len(sample), sum(accepted) / count)
    figures = {f"p{each}_ms": round(percentile(latencies, each), 1) for each in (50, 95, 99)} if latencies else {}
    print(f"  {rate:7.0f}/s: {share:6.1%} in time {figures}", flush=True)
    return {"rate": rate, "share": round(share, 4), **figures}


async def _end(target: Target, answer: bytes) -> float | None:
    execution = await target.execution(msgspec.json.decode(answer)["id"])
    state: dict[str, Any] = execution.get("state", {})
    return instant(state["histories"][-1]["date"]) if state.get("current") in TERMINATED else None


async def _drained(target: Target, answers: list[asyncio.Future[tuple[int, bytes]]]) -> None:
    """Wait until the last executions of a step have ended, so that the next one begins at rest."""
    for answer in answers[-20:]:
        if answer.exception() is None and answer.result()[0] == 200:
            await target.ended(msgspec.json.decode(answer.result()[1])["id"])


BENCHMARK = Benchmark(
    name="one_task",
    method=(
        f"Open loop: multipart POSTs with one input at a fixed rate for {STEP_S:g} s over {CONNECTIONS} keep-alive "
        f"connections; the rate grows by {GROWTH:g} until less than {ENOUGH:.0%} have ended {GRACE_S:g} s after the "
        f"last request, then {REFINEMENTS} bisections; per_second is the highest rate that held. Of at most "
        f"{SAMPLES_MAX} executions per step, evenly spread, GET is asked after that grace; latency is from the "
        "planned instant of the request to the instant of the last state."
    ),
    units={"per_second": Unit.RATE, "p50_ms": Unit.TIME, "p95_ms": Unit.TIME, "p99_ms": Unit.TIME},
    measure=measure,
)
