"""
Values of inputs and outputs: from what a caller sends to the type that was declared, and within its bounds.

A value that is of the type already stays as it is. What cannot be read raises ValueError with the cause.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import yaml

from tiercel.errors import InvalidFlow
from tiercel.expression import ion, json_text
from tiercel.expression.plain import plain
from tiercel.expression.printing import instant_text
from tiercel.flowspec.yaml import read_documents
from tiercel.model.duration import format_duration, parse_duration
from tiercel.model.flow import Dialect
from tiercel.model.input import InputType

TEXT_TYPES: Final = frozenset({InputType.STRING, InputType.SELECT, InputType.ENUM, InputType.EMAIL, InputType.SECRET})
"""Types for which an empty text is a value; for all others it is none."""
_BOOLS: Final = (InputType.BOOL, InputType.BOOLEAN)
LIST_TYPES: Final = frozenset({InputType.ARRAY, InputType.MULTISELECT})

_INT: Final = re.compile(r"[-+]?[0-9]{1,10}")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:NaN|Infinity)")
_INT_MIN: Final = -(2**31)
_INT_MAX: Final = 2**31 - 1
"""An INT is Java's, of 32 bits."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME: Final = re.compile(r"\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?")
_DATETIME: Final = re.compile(rf"{_DATE.pattern}[Tt]{_TIME.pattern}(?:[Zz]|[+-]\d{{2}}(?::?\d{{2}})?)?")
_URI: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_URI_OF_HOST: Final = re.compile(
    r"[a-z]+://(?:www\.)?[-a-zA-Z0-9@:%._+~#=]{1,256}\.[a-zA-Z0-9()]{1,6}\b[-a-zA-Z0-9()@:%_+.~#?&/=]*"
)
_EMAIL: Final = re.compile(r"[a-zA-Z0-9_!#$%&’*+/=?`{|}~^.-]+@[a-zA-Z0-9.-]+")


def shown(value: Any) -> str:
    """Write a value as messages show it: lists as JSON, truth in small letters, the rest as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return value.isoformat() if isinstance(value, date | time) else str(value)


def as_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return typed values as an execution keeps them."""
    return {name: data_of(value) for name, value in values.items()}


def data_of(value: Any) -> Any:
    """
    Return a typed value as an execution keeps it: dates, times and durations are texts as Kestra writes them.

    An expression that prints an input then shows `PT1M` and `2024-01-01T00:00:00Z`, whichever way the value has come.
    """
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, dict):
        return as_data(value)
    # What expressions compute with is not what can be stored: Java's numbers, characters, entries of maps.
    return [data_of(item) for item in value] if isinstance(value, list | tuple) else plain(value)


def cast(kind: InputType, value: Any, *, item: InputType | None = None, dialect: Dialect = Dialect.V2) -> Any:
    """Give a value its type; raise ValueError with the cause when it has another one."""
    if kind in LIST_TYPES:
        return _list(value, item or InputType.STRING, dialect)
    if kind in (InputType.JSON, InputType.YAML, InputType.ION):
        return _structured(kind, value)
    if kind is InputType.URI:
        return _uri(value, dialect)
    try:
        return _bool(value, dialect) if kind in _BOOLS else _scalar(kind, value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"Expected `{kind}` but received `{shown(value)}` with errors: {error}") from error


def _scalar(kind: InputType, value: Any) -> Any:
    match kind:
        case InputType.INT:
            return _int(value)
        case InputType.FLOAT:
            return _float(value)
        case InputType.DATETIME:
            return _instant(value)
        case InputType.DATE:
            return value if type(value) is date else date.fromisoformat(_written(_DATE, value, "2024-12-31"))
        case InputType.TIME:
            return value if isinstance(value, time) else time.fromisoformat(_written(_TIME, value, "23:59:59"))
        case InputType.DURATION:
            return parse_duration(value if isinstance(value, timedelta | int | float) else str(value))
        case InputType.EMAIL:
            return _email(value)
        case _:
            return _text(value)


def _bool(value: Any, dialect: Dialect) -> bool:
    """Read `true` and `false` in any case; what is neither is false in the first dialect, and refused in the second."""
    text = str(value).lower()
    if text not in ("true", "false") and dialect is Dialect.V2:
        raise ValueError("it must be 'true' or 'false'")
    return text == "true"


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
    return value if isinstance(value, str) else shown(value)


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else _text(value)
        if not _INT.fullmatch(text):
            raise ValueError(f'For input string: "{text}"')
        number = int(text)
    if not _INT_MIN <= number <= _INT_MAX:
        raise ValueError(f"{number} is not between {_INT_MIN} and {_INT_MAX}")
    return number


def _float(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        text = _text(value).strip()
        if not _FLOAT.fullmatch(text):
            raise ValueError(f'For input string: "{text}"')
        number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is not a number that can be stored")
    return number


def _iso(value: Any) -> str:
    """Write a date or time as text; a time of whole hours and minutes is one too."""
    return value.isoformat() if isinstance(value, date | time) else str(value).strip()


def _written(form: re.Pattern[str], value: Any, example: str) -> str:
    """Return the text of a date or time that is written as Java reads it; Python's own readers take more."""
    text = _iso(value)
    if not form.fullmatch(text):
        raise ValueError(f"Text '{text}' could not be parsed; write it as in '{example}'")
    return text


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime):
        at = value
    else:
        text = _written(_DATETIME, value, "2024-12-31T23:59:59Z")
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    if at.tzinfo is None:
        raise ValueError(f"'{_iso(value)}' has no time zone; end it with 'Z' or an offset such as '+02:00'")
    return at.astimezone(UTC)


def _email(value: Any) -> str:
    text = _text(value)
    if text and not _EMAIL.fullmatch(text):
        raise ValueError("it must be an address such as 'name@example.org'")
    return text


def _uri(value: Any, dialect: Dialect) -> str:
    text = _text(value)
    if dialect is Dialect.V1:
        if not _URI_OF_HOST.fullmatch(text):
            raise ValueError(f"Expected `URI` but received `{text}`")
    elif not _URI.fullmatch(text):
        raise ValueError("Invalid URI format.")
    return text


def _structured(kind: InputType, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if kind is InputType.JSON:
            return json_text.loads(value)
        if kind is InputType.ION:
            return ion.first(value)
        documents = read_documents(value)
    except (ValueError, RecursionError, InvalidFlow, yaml.YAMLError) as error:
        raise ValueError(f"Expected `{kind}` but received `{value[:200]}` with errors: {error}") from error
    return documents[0].data if documents else None


def as_list(value: Any) -> list[Any]:
    """Read a list, or JSON text of one; its elements stay as they are. Raise ValueError with the cause."""
    if isinstance(value, str):
        try:
            value = json_text.loads(value)
        except ValueError as error:
            raise ValueError(f"Expected a list but received `{value}` with errors: {error}") from error
    if not isinstance(value, list | tuple):
        raise ValueError(f"Expected a list but received `{shown(value)}`")
    return list(value)


def _list(value: Any, item: InputType, dialect: Dialect) -> list[Any]:
    result = []
    for element in as_list(value):
        try:
            result.append(cast(item, element, dialect=dialect))
        except ValueError as error:
            raise ValueError(f"Unable to parse array element as `{item}` on `{shown(element)}`") from error
    return result


def option_value(option: Any) -> Any:
    """Return the value of an option of a list: a bare value stands for label and value both."""
    if isinstance(option, Mapping):
        return option.get("value", option.get("label"))
    return option
