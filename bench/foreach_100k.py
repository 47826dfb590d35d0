"""Whether a loop over a hundred thousand values costs ten times as much as one over ten thousand."""

from __future__ import annotations

import os
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target
from bench.wide import LOOK_S, compared, figures

SMALL: Final = 10_000
"""A tenth of the large one: cost that is linear shows as a ratio of ten."""
LARGE: Final = int(os.environ.get("BENCH_LOOP_ITEMS", "100000"))
LIMITS: Final = {0: "", 16: "_limit_16"}
"""Children at a time (0: all), and how the keys of their figures end."""


async def measure(target: Target) -> Results:
    """Run both loops with each limit, watching the processes."""
    results: Results = {}
    for limit, ending in LIMITS.items():
        for count in (SMALL, LARGE):
            await target.put_flow(flows.loop(count, limit))
        small, large = await compared(target, f"loop-{SMALL}-{limit}", f"loop-{LARGE}-{limit}")
        found = figures(small, large, LARGE / SMALL, small_name="10k")
        results |= {key + ending: value for key, value in found.items()}
    return results


BENCHMARK = Benchmark(
    name="foreach_100k",
    method=(
        f"ForEach over {LARGE:,} values with one Return task, between two over {SMALL:,}: without a limit, then (in "
        "keys ending in `_limit_16`) with concurrencyLimit 16; durations by the executions' own histories; "
        "ratio_to_10k is their quotient (10 is linear), cpu_ratio_to_10k that of the processor time of all processes; "
        f"executor_mb is the executor's largest proportional set size, looked at every {LOOK_S:g} s."
    ),
    units={
        "seconds": Unit.TIME,
        "seconds_10k": Unit.TIME,
        "seconds_limit_16": Unit.TIME,
        "seconds_10k_limit_16": Unit.TIME,
    },
    measure=measure,
)
