"""How long a shell step takes."""

from __future__ import annotations

from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import gaps_ms, percentile
from bench.target import Target

LENGTH: Final = 30
"""Steps of the chain: enough for a mean."""


async def measure(target: Target) -> Results:
    """Run a chain of shell steps, twice."""
    await target.put_flow(flows.scripts(LENGTH))
    gaps: list[float] = []
    for _ in range(2):
        execution = await target.ended(await target.start(f"scripts-{LENGTH}"))
        assert execution["state"]["current"] == "SUCCESS", execution["state"]
        gaps = gaps_ms(execution)
    return {"step_p50_ms": round(percentile(gaps, 50), 2)}


BENCHMARK = Benchmark(
    name="script_step",
    method=(
        f"A chain of {LENGTH} shell.Commands tasks (`echo`, process runner), the second of two runs; the time from one "
        "task run's end to the next one's."
    ),
    units={"step_p50_ms": Unit.TIME},
    measure=measure,
)
