"""
Rendered properties to the types that tasks ask for: numbers, booleans, durations, dates, enumerations, lists, maps.

A list or map may be given as JSON text, because an expression makes text; anything that cannot be read is the author's
to mend, and the message shows the value and what was expected.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from tiercel.errors import ExpressionError
from tiercel.expression.dates import reading
from tiercel.expression.printing import java_text, json_of
from tiercel.model.duration import parse_duration

Convert = Callable[[Any], Any]


@lru_cache(maxsize=512)
def is_structured(as_type: Any) -> bool:
    """Tell whether a type is a list, a map or a Struct, so that a text of it is JSON."""
    origin = get_origin(as_type)
    if origin is Annotated:
        return is_structured(get_args(as_type)[0])
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(as_type) if part is not type(None)]
        return all(is_structured(part) for part in parts)
    kind = origin or as_type
    return kind in (list, tuple, dict, set, frozenset) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def parse_json(text: str) -> Any:
    """Read a JSON text; raise ExpressionError with a sentence."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ExpressionError(f"'{_shown(text)}' is not JSON: {error}.") from error


@lru_cache(maxsize=512)
def converter(as_type: Any) -> Convert:
    """Return the function that converts a rendered value to a type; it is made once per type."""
    origin = get_origin(as_type)
    if origin is Annotated:
        return converter(get_args(as_type)[0])
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(as_type) if part is not type(None)]
        return converter(parts[0]) if len(parts) == 1 else _first_of([converter(part) for part in parts])
    kind = origin or as_type
    if kind in (list, tuple, set, frozenset):
        arguments = get_args(as_type)
        return _items(kind, converter(arguments[0]) if arguments else _same)
    if kind is dict:
        arguments = get_args(as_type)
        return _entries(converter(arguments[1]) if arguments else _same)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return lambda value: _struct(value, kind)
    found = _SCALARS.get(kind)
    if found is None:
        raise TypeError(f"A property cannot be converted to {as_type!r}.")
    return found


def _same(value: Any) -> Any:
    return value


def _wrong(value: Any, expected: str) -> ExpressionError:
    return ExpressionError(f"'{_shown(java_text(value))}' is not {expected}.")


def _shown(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."


def _first_of(choices: list[Convert]) -> Convert:
    def convert(value: Any) -> Any:
        for choice in choices[:-1]:
            try:
                return choice(value)
            except ExpressionError:
                continue
        return choices[-1](value)

    return convert


def _items(kind: Any, item: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, str):
            if not value.lstrip().startswith("["):
                raise _wrong(value, "a list, and no JSON of one")
            value = parse_json(value)
        if isinstance(value, dict) or not isinstance(value, (list, tuple, set, frozenset)):
            raise _wrong(value, "a list")
        if item is not _same and any(part is None for part in value):
            raise _wrong(value, "a list without nulls")
        return kind(None if part is None else item(part) for part in value)

    return convert


def _entries(entry: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if isinstance(value, str):
            if not value.lstrip().startswith("{"):
                raise _wrong(value, "a map, and no JSON of one")
            value = parse_json(value)
        if not isinstance(value, dict):
            raise _wrong(value, "a map")
        return {java_text(name): None if part is None else entry(part) for name, part in value.items()}

    return convert


def _member(kind: type[Enum]) -> Convert:
    members = {str(member.value): member for member in kind}
    upper = {name.upper(): member for name, member in members.items()}

    def convert(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        text = str(value).strip()
        found = members.get(text) or upper.get(text.upper())
        if found is None:
            raise _wrong(value, f"one of {', '.join(members)}")
        return found

    return convert


def _struct(value: Any, kind: Any) -> Any:
    if isinstance(value, kind):
        return value
    if isinstance(value, str):
        value = parse_json(value)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ExpressionError(f"'{_shown(json_of(value))}' is not {kind.__name__}: {error}.") from error


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json_of(value) if isinstance(value, (dict, list, tuple, set, frozenset)) else java_text(value)


def _int(value: Any) -> int:
    try:
        if isinstance(value, str):
            text = value.strip()
            return int(text) if text.lstrip("+-").isdigit() else _int(float(text))
        if not isinstance(value, bool) and int(value) == value:
            return int(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise _wrong(value, "a whole number") from error
    raise _wrong(value, "a whole number")


def _float(value: Any) -> float:
    try:
        if not isinstance(value, bool):
            return float(value)
    except (ValueError, TypeError) as error:
        raise _wrong(value, "a number") from error
    raise _wrong(value, "a number")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "false"):
        return text == "true"
    raise _wrong(value, "true or false")


def _duration(value: Any) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ExpressionError(str(error)) from error


def _moment(value: Any) -> datetime:
    try:
        found = value if isinstance(value, date) else reading.iso(str(value).strip())
    except ValueError as error:
        raise _wrong(value, "a date such as '2026-01-31T10:00:00Z'") from error
    if isinstance(found, datetime):
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    if isinstance(found, date):
        return datetime(found.year, found.month, found.day, tzinfo=UTC)
    raise _wrong(value, "a date such as '2026-01-31T10:00:00Z'")


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    return _moment(value).date()


def _time(value: Any) -> time:
    try:
        return value if isinstance(value, time) else time.fromisoformat(str(value).strip())
    except ValueError as error:
        raise _wrong(value, "a time such as '10:00:00'") from error


_SCALARS: dict[Any, Convert] = {
    Any: _same,
    object: _same,
    str: _text,
    int: _int,
    float: _float,
    Decimal: lambda value: Decimal(str(_float(value))) if not isinstance(value, Decimal) else value,
    bool: _bool,
    timedelta: _duration,
    datetime: _moment,
    date: _day,
    time: _time,
}
