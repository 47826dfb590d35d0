"""
Ion, the format of Kestra's row files: text written as Kestra's mapper does, text and binary read.

Dates that Ion has no word for are texts with their Java type as annotation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any, Final

from amazon.ion import simpleion
from amazon.ion.core import IonType, TimestampPrecision
from amazon.ion.exceptions import IonException
from amazon.ion.simple_types import IonPyNull

from tiercel.expression.dates import reading
from tiercel.expression.printing import (
    datetime_text,
    float_text,
    instant_text,
    iso_time_text,
    java_text,
    json_of,
    plain_text,
    weigh,
)
from tiercel.expression.values import Instant, JavaDate
from tiercel.model.duration import format_duration

BINARY_MARK: Final = b"\xe0\x01\x00\xea"
"""What binary Ion begins with."""


def dumps(value: Any) -> str:
    """Write a value as compact Ion text."""
    weigh(value)
    return _dumped(value)


def _dumped(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return json_of(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_symbol(java_text(key))}:{_dumped(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ",".join(_dumped(item) for item in value) + "]"
    if isinstance(value, (bool, int)):
        return java_text(value)
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text if "." in text else text + "."
    if isinstance(value, bytes):
        return "{{" + json_of(value)[1:-1] + "}}"
    return _annotated(value)


def _symbol(name: str) -> str:
    is_plain = name.isascii() and name.replace("$", "_").isidentifier()
    is_taken = name in ("null", "true", "false", "nan") or (name[:1] == "$" and name[1:].isdigit())
    if is_plain and not is_taken:
        return name
    escaped = json_of(name)[1:-1].replace("'", "\\'").replace('\\"', '"')
    return f"'{escaped}'"


def _float(value: float) -> str:
    if value != value:
        return "nan"
    if value - value != 0:
        return "+inf" if value > 0 else "-inf"
    text = float_text(value)
    if text.endswith(".0"):
        return text[:-2] + "e0"
    return text if "E" in text else text + "e0"


def _annotated(value: Any) -> str:
    if isinstance(value, JavaDate):
        return plain_text(value)
    if isinstance(value, Instant):
        return f'Instant::"{instant_text(value)}"'
    if isinstance(value, datetime):
        kind = "LocalDateTime" if value.tzinfo is None else "ZonedDateTime"
        named = datetime_text(value).partition("[")[2] if value.tzinfo else ""
        return f'{kind}::"{plain_text(value)}{"[" + named if named else ""}"'
    if isinstance(value, date):
        return f'LocalDate::"{value.isoformat()}"'
    if isinstance(value, time):
        return f'LocalTime::"{iso_time_text(value)}"'
    if isinstance(value, timedelta):
        return f'Duration::"{format_duration(value)}"'
    raise TypeError(f"A value of type {type(value).__name__} cannot be written as Ion")


def loads(data: str | bytes) -> list[Any]:
    """Read all values of an Ion text or file; raise ValueError when it is not Ion."""
    return list(_values(data))


def first(data: str | bytes) -> Any:
    """Read the first value, None when there is none; what follows need not be Ion. Raise ValueError when it is none."""
    return next(_values(data), None)


def _values(data: str | bytes) -> Iterator[Any]:
    source = data.encode() if isinstance(data, str) else data
    try:
        for value in simpleion.load(BytesIO(source), single_value=False, parse_eagerly=False):
            yield _plain(value)
    except (IonException, EOFError, RecursionError) as error:
        raise ValueError(f"Invalid ion: {error}") from error


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, IonPyNull):
        # A null may have a type, as in `null.int`.
        return None
    kind = getattr(value, "ion_type", None)
    annotations = [getattr(mark, "text", mark) for mark in getattr(value, "ion_annotations", ())]
    if isinstance(value, (str, bytes)) or kind == IonType.SYMBOL:
        return _typed(value, annotations)
    if isinstance(value, Mapping):
        return {str(getattr(key, "text", key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and kind != IonType.TIMESTAMP:
        return [_plain(item) for item in value]
    if isinstance(value, bool) or kind == IonType.BOOL:
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Decimal):
        return Decimal(value)
    if isinstance(value, datetime):
        # Ion has one type for both: a timestamp that ends with its day is a date.
        is_day = getattr(value, "precision", None) == TimestampPrecision.DAY
        return date(value.year, value.month, value.day) if is_day else _instant(value)
    return value


def _instant(value: datetime) -> Instant:
    moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return Instant(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond, UTC
    )  # fmt: skip


def _typed(value: Any, annotations: list[Any]) -> Any:
    if isinstance(value, bytes):
        return bytes(value)
    text = str(getattr(value, "text", value))
    match annotations[:1]:
        case ["Instant"]:
            found = reading.iso(text)
            return _instant(found) if isinstance(found, datetime) else text
        case ["ZonedDateTime" | "OffsetDateTime" | "LocalDateTime" | "LocalDate"]:
            return reading.iso(text)
        case ["LocalTime"]:
            return time.fromisoformat(text)
        case _:
            return text
