"""Whether ForEachItem over a file of a gigabyte, in batches of ten thousand rows, costs ten times a tenth of it."""

from __future__ import annotations

import os
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target
from bench.wide import compared, figures

ROW_BYTES: Final = 100
"""Bytes of a row, as of a record of a few columns."""
LARGE: Final = int(os.environ.get("BENCH_FILE_BYTES", str(10**9))) // ROW_BYTES
"""Rows of the file: a gigabyte unless the environment says otherwise."""
SMALL: Final = LARGE // 10
"""A tenth of it: cost that is linear shows as a ratio of ten."""


async def measure(target: Target) -> Results:
    """Run both, watching the memory of the processes."""
    await target.put_flow(flows.part())
    for rows in (SMALL, LARGE):
        await target.put_flow(flows.batches(rows))
    small, large = await compared(target, f"batches-{SMALL}", f"batches-{LARGE}")
    return figures(small, large, LARGE / SMALL)


BENCHMARK = Benchmark(
    name="foreach_item",
    method=(
        f"ForEachItem over a file of {LARGE * ROW_BYTES:,} bytes in batches of 10,000 rows, each batch an execution "
        "with one Return task, between two over a tenth; the file is made by the flow's first task, and counts; "
        "ratio_to_10th is their quotient (10 is linear); memory is the largest proportional set size of each process, "
        "growth_mb how much more the one that grew most had than in the tenth."
    ),
    units={"seconds": Unit.TIME, "seconds_10th": Unit.TIME},
    measure=measure,
)
