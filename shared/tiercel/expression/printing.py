"""
How values become text: as Java prints them, and as JSON.

Numbers and dates follow Java's toString, since users compare and store these texts. JSON follows what Kestra's
mapper writes: dates as ISO text, durations as seconds, no escaping beyond the necessary.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tiercel.expression.failure import LimitExceeded
from tiercel.expression.values import Float32, Instant, JavaDate, MapEntry
from tiercel.model.duration import format_duration

_quoted = json.JSONEncoder(ensure_ascii=False).encode


# Lists within lists that share their items can be printed larger than any memory.
NODE_COUNT_MAX = 2_000_000
_CONTAINERS = (Mapping, list, tuple, set, frozenset)


def weigh(value: Any) -> None:
    """Raise LimitExceeded for a value with more parts than may be printed or compared."""
    if not isinstance(value, _CONTAINERS):
        return
    count, waiting = 0, [value]
    while waiting:
        container = waiting.pop()
        count += len(container)
        if count > NODE_COUNT_MAX:
            raise LimitExceeded(f"The expression makes a value with more than {NODE_COUNT_MAX} parts.")
        items = container.values() if isinstance(container, Mapping) else container
        waiting.extend(item for item in items if isinstance(item, _CONTAINERS))


def text_of(value: Any) -> str:
    """Return what `{{ value }}` prints: JSON for maps and lists, nothing for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, _CONTAINERS) and not isinstance(value, MapEntry):
        return json_of(value)
    return java_text(value)


def java_text(value: Any) -> str:
    """Return Java's String.valueOf(value): `null`, `[a, b]`, `{key=value}`."""
    if isinstance(value, str):
        return value
    weigh(value)
    return _java(value)


def _java(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, MapEntry):
        return f"{_java(value['key'])}={_java(value['value'])}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_java(key)}={_java(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(_java(item) for item in value) + "]"
    return _scalar_text(value)


def _scalar_text(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, datetime):
        return datetime_text(value)
    if isinstance(value, time):
        return _time_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def float_text(value: float) -> str:
    """Print a float as Java does: `1.0`, `1.0E10`, `1.0E-5`, `Infinity`."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    digits = _shortest_float32(value) if isinstance(value, Float32) else float.__repr__(value)
    sign, number = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    mantissa, _, exponent = number.partition("e")
    whole, _, fraction = mantissa.partition(".")
    magnitude = abs(value)
    if magnitude == 0:
        return sign + "0.0"
    significant = (whole + fraction).lstrip("0")
    leading_zeros = len(whole + fraction) - len(significant)
    # The value is 0.significant * 10 ** point.
    point = len(whole) + int(exponent or 0) - leading_zeros
    significant = significant.rstrip("0") or "0"
    if 1e-3 <= magnitude < 1e7:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{significant}"
        return f"{sign}{significant[:point].ljust(point, '0')}.{significant[point:] or '0'}"
    return f"{sign}{significant[0]}.{significant[1:] or '0'}E{point - 1}"


def _shortest_float32(value: Float32) -> str:
    for precision in range(1, 10):
        digits = f"{float(value):.{precision}g}"
        if Float32(digits) == value:
            return digits
    return float.__repr__(value)


def datetime_text(value: datetime) -> str:
    """Print a date as Java does: no seconds when they are zero, the zone in brackets when it has a name."""
    if isinstance(value, JavaDate):
        return value.strftime("%a %b %d %H:%M:%S UTC %Y")
    if isinstance(value, Instant):
        return instant_text(value)
    text = f"{value.date().isoformat()}T{_time_text(value.time())}"
    if value.tzinfo is None:
        return text
    return text + offset_text(value) + _zone_suffix(value)


def instant_text(value: datetime) -> str:
    """Print a point in time: always in UTC, always with seconds, fractions in threes."""
    moment = value.astimezone(UTC) if value.tzinfo else value
    return f"{moment:%Y-%m-%dT%H:%M:%S}{_fraction(moment.microsecond)}Z"


def offset_text(value: datetime, zero: str = "Z") -> str:
    """Print the offset from UTC as `+02:00`, or `zero`."""
    offset = value.utcoffset()
    if not offset:
        return zero
    seconds = int(offset.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    text = f"{sign}{seconds // 3600:02}:{seconds % 3600 // 60:02}"
    return f"{text}:{seconds % 60:02}" if seconds % 60 else text


def _zone_suffix(value: datetime) -> str:
    zone = value.tzinfo
    return f"[{zone.key}]" if isinstance(zone, ZoneInfo) and zone.key != "Z" else ""


def _time_text(value: time) -> str:
    text = f"{value.hour:02}:{value.minute:02}"
    if value.second or value.microsecond:
        text += f":{value.second:02}{_fraction(value.microsecond)}"
    return text


def iso_time_text(value: time) -> str:
    """Print a time as ISO formatters do: always with seconds, with no more digits of a second than needed."""
    text = f"{value.hour:02}:{value.minute:02}:{value.second:02}"
    return text + f".{value.microsecond:06}".rstrip("0") if value.microsecond else text


def _fraction(microsecond: int) -> str:
    if not microsecond:
        return ""
    return f".{microsecond // 1000:03}" if microsecond % 1000 == 0 else f".{microsecond:06}"


def json_of(value: Any) -> str:
    """Return a value as compact JSON."""
    weigh(value)
    return _json(value)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(str(value))
    if value is None:
        return "null"
    if isinstance(value, MapEntry):
        return f"{{{_quoted(_json_key(value['key']))}:{_json(value['value'])}}}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_quoted(_json_key(key))}:{_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ",".join([_json(item) for item in value]) + "]"
    if isinstance(value, float):
        # JSON has no word for these; the mapper writes them as text.
        return f'"{float_text(value)}"' if value != value or value - value != 0 else float_text(value)
    if isinstance(value, (bool, int)):
        return _scalar_text(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return f"{value.days * 86400 + value.seconds}.{value.microseconds:06}000"
    if isinstance(value, bytes):
        return f'"{b64encode(value).decode()}"'
    return _quoted(plain_text(value))


def _json_key(key: Any) -> str:
    return key if isinstance(key, str) else java_text(key)


def plain_text(value: Any) -> str:
    """Return a date or time as the mapper writes it: ISO, always with seconds, without the zone's name."""
    if isinstance(value, JavaDate):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}+00:00"
    if isinstance(value, Instant):
        return instant_text(value)
    if isinstance(value, datetime):
        text = f"{value.date().isoformat()}T{iso_time_text(value.time())}"
        return text + offset_text(value) if value.tzinfo else text
    if isinstance(value, time):
        return iso_time_text(value)
    return java_text(value)
