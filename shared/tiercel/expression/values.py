"""
The closed set of values an expression may hold, and their names in Java.

Context is plain data: dict, list, str, int, float, bool, None, datetime and its kin, Decimal, bytes. Where Java
tells two types apart that Python does not, and a user can see it, a subclass here keeps them apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, ClassVar, TypeGuard


class Long(int):
    """A 64-bit integer, which every integer literal and every sum is; it wraps around as in Java."""

    MAX: ClassVar[int] = 2**63 - 1

    @classmethod
    def wrap(cls, value: int) -> Long:
        """Keep the low 64 bits."""
        return cls((value + 2**63) % 2**64 - 2**63)


class BigInteger(int):
    """An integer that was asked for without bounds."""


class Short(int):
    """A 16-bit integer."""


class Byte(int):
    """An 8-bit integer."""


class Float32(float):
    """A single-precision number; it prints with as few digits as single precision needs."""

    def __new__(cls, value: float | str) -> Float32:
        try:
            return super().__new__(cls, struct.unpack("f", struct.pack("f", float(value)))[0])
        except OverflowError:
            return super().__new__(cls, float("inf") if float(value) > 0 else float("-inf"))


class Char(str):
    """A single character."""


class Instant(datetime):
    """A point in time without a zone of its own; always in UTC, and printed with seconds and `Z`."""


class JavaDate(datetime):
    """A java.util.Date: a point in time in milliseconds."""


class MapEntry(dict[str, Any]):
    """One entry of a map that is iterated over, with `key` and `value`."""


def class_name(value: Any) -> str:
    """Return the name of the Java class that stands behind a value."""
    for kind, name in _CLASS_NAMES:
        if isinstance(value, kind):
            return name
    if isinstance(value, int):
        return _integer_class(value)
    return "java.lang.Object"


def _integer_class(value: int) -> str:
    if -(2**31) <= value < 2**31:
        return "java.lang.Integer"
    return "java.lang.Long" if -(2**63) <= value < 2**63 else "java.math.BigInteger"


# Subclasses stand before their bases.
_CLASS_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "java.lang.Boolean"),
    (Char, "java.lang.Character"),
    (str, "java.lang.String"),
    (Long, "java.lang.Long"),
    (BigInteger, "java.math.BigInteger"),
    (Short, "java.lang.Short"),
    (Byte, "java.lang.Byte"),
    (Float32, "java.lang.Float"),
    (float, "java.lang.Double"),
    (Decimal, "java.math.BigDecimal"),
    (Instant, "java.time.Instant"),
    (JavaDate, "java.util.Date"),
    (datetime, "java.time.ZonedDateTime"),
    (date, "java.time.LocalDate"),
    (time, "java.time.LocalTime"),
    (timedelta, "java.time.Duration"),
    (bytes, "byte[]"),
    (Mapping, "java.util.LinkedHashMap"),
    (list, "java.util.ArrayList"),
    (tuple, "java.util.ArrayList"),
    (set, "java.util.LinkedHashSet"),
    (frozenset, "java.util.LinkedHashSet"),
)


def is_number(value: Any) -> bool:
    """Tell whether a value is a number; booleans are none."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def whole(value: Any) -> int:
    """Return a number, or a text that is one, cut to a whole number; raise ValueError for anything else."""
    try:
        if is_number(value):
            return int(value)
        if isinstance(value, str):
            return int(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"a whole number is expected, not '{value}'") from error
    raise ValueError(f"a whole number is expected, not {'null' if value is None else f'a {class_name(value)}'}")


def is_sequence(value: Any) -> bool:
    """Tell whether a value is a list or a set."""
    return isinstance(value, (list, tuple, set, frozenset))


def is_map(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Tell whether a value is a map."""
    return isinstance(value, Mapping)


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in a value, names of maps included."""
    if isinstance(value, str):
        yield value
    elif is_map(value):
        for key, item in value.items():
            yield from texts_in(key)
            yield from texts_in(item)
    elif is_sequence(value):
        for item in value:
            yield from texts_in(item)
