"""How long a loop over a thousand values takes."""

from __future__ import annotations

from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import duration_s, percentile
from bench.target import Target

COUNT: Final = 3


async def measure(target: Target) -> Results:
    """Run the loop without a limit, and with at most sixteen children at a time."""
    figures: Results = {}
    for limit, name in ((0, "seconds"), (16, "seconds_limit_16")):
        await target.put_flow(flows.loop(1000, limit))
        times = []
        for _ in range(COUNT):
            execution = await target.ended(await target.start(f"loop-1000-{limit}"), every_s=0.1)
            assert execution["state"]["current"] == "SUCCESS", execution["state"]
            assert len(execution["taskRunList"]) == 1001, len(execution["taskRunList"])
            times.append(duration_s(execution))
        figures[name] = round(percentile(times, 50), 3)
    return figures


BENCHMARK = Benchmark(
    name="foreach_1k",
    method=f"ForEach over 1,000 values with one Return task, concurrencyLimit 0 and 16; median of {COUNT} durations.",
    units={"seconds": Unit.TIME, "seconds_limit_16": Unit.TIME},
    measure=measure,
)
