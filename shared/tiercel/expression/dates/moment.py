"""Turns whatever an expression takes for a date into a date with a zone, and writes it in a named format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from babel import Locale

from tiercel.expression.dates import reading, writing
from tiercel.expression.printing import datetime_text, instant_text, iso_time_text, java_text, offset_text
from tiercel.expression.values import is_number

# Names that stand for a pattern.
PATTERNS = {
    "iso": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "iso_sec": "yyyy-MM-dd'T'HH:mm:ssXXX",
    "iso_milli": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "sql": "yyyy-MM-dd HH:mm:ss.SSSSSS",
    "sql_seq": "yyyy-MM-dd HH:mm:ss",
    "sql_sec": "yyyy-MM-dd HH:mm:ss",
    "sql_milli": "yyyy-MM-dd HH:mm:ss.SSS",
}
STYLES = frozenset({"full", "long", "medium", "short"})
# Names whose width depends on the value; read as plain ISO.
_ISO_NAMES = frozenset(
    {
        "iso_date_time",
        "iso_date",
        "iso_time",
        "iso_local_date",
        "iso_instant",
        "iso_local_date_time",
        "iso_local_time",
        "iso_offset_time",
        "iso_offset_date_time",
        "iso_zoned_date_time",
    }
)
_READERS: Mapping[str, Callable[[str], date | datetime]] = {
    "iso_ordinal_date": reading.ordinal,
    "iso_week_date": reading.week,
    "rfc_1123_date_time": reading.rfc_1123,
}
_NOON = time(12)


def moment(value: Any, zone: tzinfo, existing_format: str | None, locale: Locale) -> datetime:
    """Return a value as a date with a zone; one without a zone is taken to be in `zone`, a lone date at noon."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=zone)
    if isinstance(value, date):
        return datetime.combine(value, _NOON, zone)
    if is_number(value):
        return _epoch(int(value)).astimezone(zone)
    if not isinstance(value, str):
        raise TypeError(f"'{java_text(value)}' is no date")
    found = _read(value, existing_format, locale)
    if not isinstance(found, datetime):
        return datetime.combine(found, time(), zone)
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _read(text: str, existing_format: str | None, locale: Locale) -> date | datetime:
    if existing_format is None or existing_format in _ISO_NAMES:
        return reading.iso(text)
    if existing_format in _READERS:
        return _READERS[existing_format](text)
    return reading.by_pattern(text, PATTERNS.get(existing_format, existing_format), locale)


def _epoch(value: int) -> datetime:
    """Tell seconds, milliseconds, microseconds and nanoseconds apart by their size."""
    size = abs(value)
    if size < 10**11:
        micros = value * 1_000_000
    elif size < 10**14:
        micros = value * 1_000
    elif size < 10**17:
        micros = value
    else:
        seconds, rest = divmod(value, 10**9)
        # An old form of timestampMicro: seconds * 10^9 + microseconds.
        micros = seconds * 1_000_000 + (rest if rest < 1_000_000 else rest // 1000)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def epoch_micros(value: datetime) -> int:
    """Return the microseconds since 1970."""
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def written(value: datetime, format_text: str, zone: tzinfo, locale: Locale) -> str:
    """Write a date, in this zone, by a name, a style or a pattern."""
    local = value.astimezone(zone)
    if format_text in STYLES:
        return writing.write_style(local, format_text, locale)
    if format_text in PATTERNS:
        return writing.write(local, PATTERNS[format_text], locale)
    return _named(local, format_text, locale)


def _named(value: datetime, name: str, locale: Locale) -> str:
    day, clock, offset = value.date().isoformat(), iso_time_text(value.time()), offset_text(value)
    match name:
        case "iso_date_time" | "iso_zoned_date_time":
            zone = datetime_text(value).partition("[")[2]
            return f"{day}T{clock}{offset}" + (f"[{zone}" if zone else "")
        case "iso_offset_date_time":
            return f"{day}T{clock}{offset}"
        case "iso_date":
            return day + offset
        case "iso_time" | "iso_offset_time":
            return clock + offset
        case "iso_local_date":
            return day
        case "iso_local_time":
            return clock
        case "iso_local_date_time":
            return f"{day}T{clock}"
        case "iso_instant":
            return instant_text(value)
        case "iso_ordinal_date":
            return f"{value:%Y-%j}{offset}"
        case "iso_week_date":
            year, week, weekday = value.isocalendar()
            return f"{year:04}-W{week:02}-{weekday}{offset}"
        case "rfc_1123_date_time":
            zone = offset_text(value, "GMT").replace(":", "")
            return f"{value:%a}, {value.day} {value:%b %Y %H:%M:%S} {zone}"
        case _:
            return writing.write(value, name, locale)


_FIXED_UNITS = {
    "NANOS": timedelta(),
    "MICROS": timedelta(microseconds=1),
    "MILLIS": timedelta(milliseconds=1),
    "SECONDS": timedelta(seconds=1),
    "MINUTES": timedelta(minutes=1),
    "HOURS": timedelta(hours=1),
    "HALF_DAYS": timedelta(hours=12),
}
_DAY_UNITS = {"DAYS": 1, "WEEKS": 7}
_MONTH_UNITS = {"MONTHS": 1, "YEARS": 12, "DECADES": 120, "CENTURIES": 1200, "MILLENNIA": 12000}


def added(value: datetime, amount: int, unit: str) -> datetime:
    """Add to a date: hours and less on the time line, days and more on the calendar."""
    if unit == "NANOS":
        return value.astimezone(UTC).__add__(timedelta(microseconds=amount // 1000)).astimezone(value.tzinfo)
    if unit in _FIXED_UNITS:
        return (value.astimezone(UTC) + _FIXED_UNITS[unit] * amount).astimezone(value.tzinfo)
    if unit in _DAY_UNITS:
        return value + timedelta(days=_DAY_UNITS[unit] * amount)
    if unit not in _MONTH_UNITS:
        raise ValueError(f"No enum constant java.time.temporal.ChronoUnit.{unit}")
    months = value.year * 12 + value.month - 1 + _MONTH_UNITS[unit] * amount
    year, month = divmod(months, 12)
    return value.replace(year=year, month=month + 1, day=min(value.day, _days_in(year, month + 1)))


def _days_in(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1) if year < 9999 or month < 12 else date.max
    return (following - timedelta(days=1)).day if following != date.max else 31
