"""How long a loop over a thousand values takes."""

from __future__ import annotations

from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import duration_s, percentile
from bench.target import Target

COUNT: Final = 3
"""Runs with each limit; their median is told."""
LIMITS: Final = (0, 16)
"""Values at a time: all, and as many as a loop that spares others would take."""


async def measure(target: Target) -> Results:
    """Run the loop without a limit, and with at most sixteen children at a time."""
    figures: Results = {"seconds": 0.0}
    for limit in LIMITS:
        await target.put_flow(flows.loop(1000, limit))
        times = []
        for _ in range(COUNT):
            execution = await target.ended(await target.start(f"loop-1000-{limit}"), every_s=0.1)
            assert execution["state"]["current"] == "SUCCESS", execution["state"]
            assert len(execution["taskRunList"]) == 1001, len(execution["taskRunList"])
            times.append(duration_s(execution))
        figures[f"seconds_limit_{limit}"] = round(percentile(times, 50), 3)
        figures["seconds"] = max(figures["seconds"], figures[f"seconds_limit_{limit}"])
    return figures


BENCHMARK = Benchmark(
    name="foreach_1k",
    method=(
        f"ForEach over 1,000 values with one Return task, concurrencyLimit 0 (all at once) and 16; median of {COUNT} "
        "durations by the executions' own histories; `seconds` is the worse of the two."
    ),
    units={"seconds": Unit.TIME, "seconds_limit_0": Unit.TIME, "seconds_limit_16": Unit.TIME},
    measure=measure,
)
