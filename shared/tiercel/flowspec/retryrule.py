"""The rules of a retry: which durations its type needs, and how they lie to each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from tiercel.model.duration import format_duration
from tiercel.model.task import Retry, RetryType

_NEEDED: Final = {
    RetryType.CONSTANT: ("interval",),
    RetryType.EXPONENTIAL: ("interval", "maxInterval"),
    RetryType.RANDOM: ("minInterval", "maxInterval"),
}
_ORDERED: Final = {
    RetryType.CONSTANT: (("interval", "maxDuration"),),
    RetryType.EXPONENTIAL: (("interval", "maxDuration"), ("interval", "maxInterval")),
    RetryType.RANDOM: (("minInterval", "maxDuration"), ("maxInterval", "maxDuration"), ("minInterval", "maxInterval")),
}


def retry_problems(retry: Retry) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a retry: the property (or nothing) and the sentence."""
    lengths: dict[str, timedelta | None] = {
        "interval": retry.interval,
        "maxInterval": retry.max_interval,
        "minInterval": retry.min_interval,
        "maxDuration": retry.max_duration,
    }
    needed = _NEEDED[retry.type]
    for name in needed:
        if lengths[name] is None:
            yield name, "must not be null"
    for name, length in lengths.items():
        if length is not None and length < timedelta():
            yield name, f"must not be negative, but is {format_duration(length)}"
        if length is not None and name not in (*needed, "maxDuration"):
            yield (
                name,
                f"Unrecognized field \"{name}\" of a retry of type '{retry.type}'; it needs {' and '.join(needed)}",
            )
    for shorter, longer in _ORDERED[retry.type]:
        low, high = lengths[shorter], lengths[longer]
        if low is not None and high is not None and low > high:
            yield "", f"'{shorter}' must be less than '{longer}' but is {format_duration(low)}"
