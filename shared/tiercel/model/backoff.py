"""When a failed attempt is tried again: the formulas of `retry`, for the executor's retries and the worker's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random  # seeded from the task run, so that every pass of a decision draws the same

from tiercel.model.duration import later
from tiercel.model.task import Retry


def delay(policy: Retry, attempt: int, seed: str, dialect: str = "2.x") -> timedelta:
    """
    Return how long after the end of this attempt (from 1) the next one comes, by Kestra's formulas.

    An exponential delay is a power of its factor in 2.x; in 1.x it grows by the same step, and the first is none.
    """
    match policy.type:
        case "exponential":
            old = dialect == "1.x"
            try:
                factor = int(policy.delay_factor) * (attempt - 1) if old else policy.delay_factor ** (attempt - 1)
                wait = (policy.interval or timedelta(0)) * factor
            except (OverflowError, ValueError):
                wait = timedelta.max
            return min(wait, policy.max_interval) if policy.max_interval is not None else wait
        case "random":
            low = (policy.min_interval or timedelta(0)).total_seconds()
            high = (policy.max_interval or timedelta(0)).total_seconds()
            return timedelta(milliseconds=int(Random(seed).uniform(low, high) * 1000))
        case _:
            return policy.interval or timedelta(0)


def next_try(
    policy: Retry, attempt: int, ended: datetime, began: datetime, seed: str, dialect: str = "2.x"
) -> datetime | None:
    """Return when an attempt that has failed is followed by another; None when it was the last. `began`: the first."""
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return None
    due = later(ended, delay(policy, max(1, attempt), f"{seed}:{attempt}", dialect))
    if policy.max_duration is not None and due > later(began, policy.max_duration):
        return None
    return due
