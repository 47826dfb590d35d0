"""When two values are the same to a case: numbers by value, dates by instant whether text or typed, lists in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from tests.conformance.values import duration, instant


def same(actual: Any, expected: Any) -> bool:
    """Tell whether a value is the one that a case names."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return isinstance(actual, bool) and isinstance(expected, bool) and actual == expected
    if isinstance(expected, int | float | Decimal) and isinstance(actual, int | float | Decimal):
        return float(actual) == float(expected) or abs(float(actual) - float(expected)) <= 1e-6 * abs(float(expected))
    if isinstance(expected, datetime | date | time | timedelta):
        return _same_moment(actual, expected)
    if isinstance(actual, datetime | timedelta) and isinstance(expected, str):
        return _same_moment(expected, actual)
    if isinstance(expected, Mapping):
        return (
            isinstance(actual, Mapping)
            and {str(key) for key in actual} == {str(key) for key in expected}
            and all(same({str(k): v for k, v in actual.items()}[str(key)], value) for key, value in expected.items())
        )
    if isinstance(expected, Sequence) and not isinstance(expected, str | bytes):
        return (
            isinstance(actual, Sequence)
            and not isinstance(actual, str | bytes)
            and len(actual) == len(expected)
            and all(same(one, other) for one, other in zip(actual, expected, strict=True))
        )
    return bool(actual == expected)


def _same_moment(actual: Any, expected: Any) -> bool:
    if isinstance(actual, str):
        try:
            match expected:
                case datetime():
                    actual = instant(actual)
                case date():
                    actual = date.fromisoformat(actual)
                case time():
                    actual = time.fromisoformat(actual)
                case timedelta():
                    actual = duration(actual)
        except ValueError:
            return False
    if isinstance(expected, timedelta) and isinstance(actual, int | float):
        return expected.total_seconds() == actual
    if isinstance(actual, datetime) and isinstance(expected, datetime):
        if actual.tzinfo is None or expected.tzinfo is None:
            return actual.replace(tzinfo=None) == expected.replace(tzinfo=None)
        return actual == expected
    return bool(actual == expected)
