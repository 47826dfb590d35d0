"""How long one step takes in a chain of a hundred."""

from __future__ import annotations

from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import gaps_ms, percentile
from bench.target import Target

COUNT: Final = 5
"""Chains that are measured; their median is told."""


async def measure(target: Target) -> Results:
    """Run chains one after the other."""
    await target.put_flow(flows.chain(100))
    gaps: list[float] = []
    for number in range(COUNT + 1):
        execution = await target.ended(await target.start("chain-100"), every_s=0.1)
        assert execution["state"]["current"] == "SUCCESS", execution["state"]
        gaps += gaps_ms(execution) if number else []
    return {"step_p50_ms": round(percentile(gaps, 50), 2)}


BENCHMARK = Benchmark(
    name="chain_100",
    method=f"{COUNT} chains of 100 Return tasks after one to warm up; from one task run's end to the next one's.",
    units={"step_p50_ms": Unit.TIME},
    measure=measure,
)
