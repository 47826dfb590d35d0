"""Plain values of YAML to Python values: what is accepted for a text, a number, a date, a duration, a name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final

from tiercel.flowspec.findings import Findings, Trail
from tiercel.model.duration import parse_duration

Bind = Callable[[Any, Trail, Findings], Any]


class _Broken:
    """The value could not be read; the problem has been noted."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN: Final = _Broken()

_KINDS: Final[dict[type, str]] = {
    dict: "a map",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def kind(value: Any) -> str:
    """Say what kind of value it is, for a message."""
    return _KINDS.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """Show a value in a message, shortened."""
    text = f"'{value}'" if isinstance(value, str) else kind(value) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def bind_any(value: Any, trail: Trail, findings: Findings) -> Any:
    return value


def bind_str(value: Any, trail: Trail, findings: Findings) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    findings.broken(trail, f"must be a text, but is {kind(value)}")
    return BROKEN


def bind_int(value: Any, trail: Trail, findings: Findings) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        try:
            return int(value.strip())
        except ValueError:
            pass  # said below, like every other value that is no whole number
    findings.broken(trail, f"must be a whole number, but is {shown(value)}")
    return BROKEN


def bind_float(value: Any, trail: Trail, findings: Findings) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value.strip())
        except ValueError:
            pass  # said below, like every other value that is no number
    findings.broken(trail, f"must be a number, but is {shown(value)}")
    return BROKEN


def bind_bool(value: Any, trail: Trail, findings: Findings) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    findings.broken(trail, f"must be true or false, but is {shown(value)}")
    return BROKEN


def bind_duration(value: Any, trail: Trail, findings: Findings) -> Any:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return parse_duration(value)
        except ValueError as error:
            findings.broken(trail, str(error))
            return BROKEN
    findings.broken(trail, f"must be a duration such as 'PT30S', but is {kind(value)}")
    return BROKEN


def bind_moment(cls: type[datetime] | type[date] | type[time], example: str) -> Bind:
    """Return a binder of ISO-8601 dates or times of this class."""

    def bind(value: Any, trail: Trail, findings: Findings) -> Any:
        if isinstance(value, cls):
            return value
        text = str(value)
        if cls is datetime:
            text = text.partition("[")[0]  # the region that Java writes behind the offset
        try:
            return cls.fromisoformat(text)
        except ValueError:
            findings.broken(trail, f"must be written as ISO-8601 such as '{example}', but is {shown(value)}")
            return BROKEN

    return bind


def bind_enum(cls: type[Enum]) -> Bind:
    """Return a binder of the names of an enumeration."""
    members = {str(member.value): member for member in cls}

    def bind(value: Any, trail: Trail, findings: Findings) -> Any:
        if isinstance(value, cls):
            return value
        found = members.get(value) if isinstance(value, str) else None
        if found is not None:
            return found
        close = difflib.get_close_matches(str(value).upper(), members, n=1) or difflib.get_close_matches(
            str(value), members, n=1
        )
        hint = f"; did you mean '{close[0]}'?" if close else ""
        choice = f"must be one of {', '.join(members)}, but is {shown(value)}{hint}"
        is_type = trail is not None and trail[1] == "type"
        findings.broken(trail, f"Invalid type: {value}; it {choice}" if is_type else choice)
        return BROKEN

    return bind


SCALARS: Final[dict[Any, Bind]] = {
    Any: bind_any,
    object: bind_any,
    str: bind_str,
    int: bind_int,
    float: bind_float,
    bool: bind_bool,
    timedelta: bind_duration,
    datetime: bind_moment(datetime, "2026-01-31T10:00:00+01:00"),
    date: bind_moment(date, "2026-01-31"),
    time: bind_moment(time, "10:00:00"),
}
