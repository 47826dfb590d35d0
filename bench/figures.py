"""From observations to figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many per cent lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def instant(text: str) -> float:
    """Return an instant of the API in seconds."""
    return datetime.fromisoformat(text).timestamp()


def since(thing: Mapping[str, Any], state: str) -> float:
    """Return when an execution or task run first entered a state."""
    return instant(next(change["date"] for change in thing["state"]["histories"] if change["state"] == state))


def duration_s(execution: Mapping[str, Any]) -> float:
    """Return how long an execution took, from its creation to its last state."""
    histories = execution["state"]["histories"]
    return instant(histories[-1]["date"]) - instant(histories[0]["date"])


def gaps_ms(execution: Mapping[str, Any]) -> list[float]:
    """Return the times between the ends of one task run and the next, in milliseconds."""
    ends = sorted(since(run, "SUCCESS") for run in execution["taskRunList"])
    return [(after - before) * 1000 for before, after in itertools.pairwise(ends)]
