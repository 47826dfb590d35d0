"""What figures must reach, on the machine of reference; and the table that says whether they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A bound of one figure."""

    least: float | None = None
    most: float | None = None
    stretch: float | None = None

    def holds(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        bound = f">= {self.least:,g}" if self.least is not None else f"<= {self.most:,g}"
        return f"{bound} (better {self.stretch:,g})" if self.stretch is not None else bound


BARS: Final[Mapping[tuple[str, str], Bar]] = {
    ("one_task", "per_second"): Bar(least=800, stretch=1600),
    ("two_task_latency", "p50_ms"): Bar(most=12),
    ("chain_100", "step_p50_ms"): Bar(most=5),
    ("foreach_1k", "seconds_limit_0"): Bar(most=3),
    ("foreach_1k", "seconds_limit_16"): Bar(most=3),
    ("foreach_100k", "ratio_to_10k"): Bar(most=12),
    ("foreach_100k", "executor_mb"): Bar(most=500),
    ("foreach_100k", "ratio_to_10k_limit_16"): Bar(most=12),
    ("foreach_100k", "executor_mb_limit_16"): Bar(most=500),
    ("loop_100k", "ratio_to_10th"): Bar(most=12),
    ("loop_100k", "executor_mb"): Bar(most=500),
    ("loop_100k", "growth_mb"): Bar(most=200),
    ("loop_100k", "iteration_ms"): Bar(most=2),
    ("foreach_item", "ratio_to_10th"): Bar(most=12),
    ("foreach_item", "executor_mb"): Bar(most=500),
    ("foreach_item", "growth_mb"): Bar(most=200),
    ("storage_2gb", "upload_percent"): Bar(least=80),
    ("storage_2gb", "download_percent"): Bar(least=80),
    ("storage_2gb", "worker_mb"): Bar(most=150),
    ("workers", "share_of_slots"): Bar(least=0.95),
    ("idle", "ready_s"): Bar(most=4),
    ("idle", "memory_mb"): Bar(most=450),
    ("idle", "cpu_percent"): Bar(most=3),
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one benchmark."""

    benchmark: str
    key: str
    raw: float
    calibrated: float | None

    @property
    def bar(self) -> Bar | None:
        return BARS.get((self.benchmark, self.key))

    @property
    def verdict(self) -> str:
        """Judge the calibrated figure; without one, the raw figure."""
        if self.bar is None:
            return ""
        return "ok" if self.bar.holds(self.raw if self.calibrated is None else self.calibrated) else "MISSED"


def rows(benchmark: str, results: Mapping[str, Any], calibrated: Mapping[str, Any] | None) -> list[Row]:
    """Return the figures of a benchmark, one row each."""
    return [
        Row(benchmark=benchmark, key=key, raw=value, calibrated=None if calibrated is None else calibrated[key])
        for key, value in results.items()
        if isinstance(value, int | float)
    ]


def table(lines: Iterable[Row]) -> str:
    """Return the figures as a table."""
    head = f"{'benchmark':<18} {'figure':<18} {'raw':>12} {'calibrated':>12}  {'bar':<24} verdict"
    text = [head, "-" * len(head)]
    for row in lines:
        scaled = "" if row.calibrated is None else f"{row.calibrated:,.2f}"
        bar = "" if row.bar is None else str(row.bar)
        text.append(f"{row.benchmark:<18} {row.key:<18} {row.raw:>12,.2f} {scaled:>12}  {bar:<24} {row.verdict}")
    return "\n".join(text)
