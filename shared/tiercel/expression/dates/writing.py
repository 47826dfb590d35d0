"""Writes a date by a pattern, in a locale."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time, get_period_id, get_timezone_name

from tiercel.expression.dates import pattern
from tiercel.expression.dates.pattern import Field
from tiercel.expression.printing import offset_text

_WIDTHS = {3: "abbreviated", 4: "wide", 5: "narrow"}
"""Letters of a pattern to the width of a name, as Java counts them."""


@lru_cache(maxsize=64)
def locale_of(name: str) -> Locale:
    """Return the locale of a name such as `fr`, `fr_FR` or `fr-FR`, or raise ValueError."""
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError) as error:
        raise ValueError(f"Invalid locale format: {name}") from error


def write(value: datetime, text: str, locale: Locale) -> str:
    """Write a date with a zone by a pattern."""
    return "".join(_written(field, value, locale) for field in pattern.fields(text))


def write_style(value: datetime, style: str, locale: Locale) -> str:
    """Write a date in the locale's `full`, `long`, `medium` or `short` form."""
    if locale.language == "en" and style in ("full", "long"):
        # As in the locale data of Java 21; later data has a comma here.
        day, clock = format_date(value, style, locale), format_time(value, style, value.tzinfo, locale)
        return f"{day} at {clock}"
    return str(format_datetime(value, style, locale=locale, tzinfo=value.tzinfo))


def _written(field: Field, value: datetime, locale: Locale) -> str:
    if field.letter == "":
        return field.text
    if field.letter in "[]":
        return ""
    number = _NUMBERS.get(field.letter)
    if number is not None:
        return str(number(value)).zfill(field.count)
    return _TEXTS[field.letter](field.count, value, locale)


# Letters that are always numbers, padded with zeros to their count.
_NUMBERS: dict[str, Callable[[datetime], int]] = {
    "D": lambda value: value.timetuple().tm_yday,
    "d": lambda value: value.day,
    "F": lambda value: (value.day - 1) // 7 + 1,
    "H": lambda value: value.hour,
    "h": lambda value: (value.hour + 11) % 12 + 1,
    "K": lambda value: value.hour % 12,
    "k": lambda value: value.hour or 24,
    "m": lambda value: value.minute,
    "s": lambda value: value.second,
    "n": lambda value: value.microsecond * 1000,
    "A": lambda value: _second_of_day(value) * 1000 + value.microsecond // 1000,
    "N": lambda value: _second_of_day(value) * 1_000_000_000 + value.microsecond * 1000,
}


def _second_of_day(value: datetime) -> int:
    return value.hour * 3600 + value.minute * 60 + value.second


def _year(count: int, value: datetime, locale: Locale) -> str:
    return _two_digits(value.year, count)


def _two_digits(year: int, count: int) -> str:
    return f"{year % 100:02}" if count == 2 else str(year).zfill(count)


def _month(count: int, value: datetime, locale: Locale) -> str:
    if count <= 2:
        return str(value.month).zfill(count)
    return str(locale.months["format"][_width(count, "M")][value.month])


def _width(count: int, letter: str) -> str:
    if count > 5:
        raise ValueError(f"Too many pattern letters: {letter}")
    return _WIDTHS[max(count, 3)]


def _weekday(count: int, value: datetime, locale: Locale) -> str:
    return str(locale.days["format"][_width(count, "E")][value.weekday()])


def _local_weekday(count: int, value: datetime, locale: Locale) -> str:
    if count > 2:
        return _weekday(count, value, locale)
    return str((value.weekday() - locale.first_week_day) % 7 + 1).zfill(count)


def _half_day(count: int, value: datetime, locale: Locale) -> str:
    period = "am" if value.hour < 12 else "pm"
    periods: Any = locale.day_periods["format"].get("wide", {})
    return str(periods.get(period, period.upper()))


def _day_period(count: int, value: datetime, locale: Locale) -> str:
    """Write the part of the day: `in the afternoon`."""
    if count not in (1, 4, 5):
        raise ValueError(f"Wrong number of pattern letters: {'B' * count}")
    width = {1: "abbreviated", 4: "wide", 5: "narrow"}[count]
    names: Any = locale.day_periods["format"].get(width, {})
    return str(names.get(get_period_id(value.time(), locale=locale)) or _half_day(count, value, locale))


def _fraction(count: int, value: datetime, locale: Locale) -> str:
    return f"{value.microsecond:06}000"[:count].ljust(count, "0")


def _quarter(count: int, value: datetime, locale: Locale) -> str:
    quarter = (value.month - 1) // 3 + 1
    if count <= 2:
        return str(quarter).zfill(count)
    return str(locale.quarters["format"][_width(count, "Q")][quarter])


def week(value: date, locale: Locale) -> tuple[int, int]:
    """Return the week-based year and the week by the locale's rule."""
    for year in (value.year + 1, value.year):
        start = _first_week(year, locale)
        if value >= start:
            return year, (value - start).days // 7 + 1
    start = _first_week(value.year - 1, locale)
    return value.year - 1, (value - start).days // 7 + 1


def _first_week(year: int, locale: Locale) -> date:
    first = date(year, 1, 1)
    lead = (first.weekday() - locale.first_week_day) % 7
    start = first - timedelta(days=lead)
    return start if 7 - lead >= locale.min_week_days else start + timedelta(days=7)


def _week_year(count: int, value: datetime, locale: Locale) -> str:
    return _two_digits(week(value.date(), locale)[0], count)


def _week_of_year(count: int, value: datetime, locale: Locale) -> str:
    return str(week(value.date(), locale)[1]).zfill(count)


def _week_of_month(count: int, value: datetime, locale: Locale) -> str:
    lead = (value.replace(day=1).weekday() - locale.first_week_day) % 7
    number = (value.day - 1 + lead) // 7 + (1 if 7 - lead >= locale.min_week_days else 0)
    return str(number).zfill(count)


def _era(count: int, value: datetime, locale: Locale) -> str:
    return str(locale.eras[_WIDTHS[min(max(count, 3), 5)]][1])


def _zone_id(count: int, value: datetime, locale: Locale) -> str:
    if count != 2:
        raise ValueError("Pattern letter count must be 2: V")
    return value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else offset_text(value)


def _zone_name(count: int, value: datetime, locale: Locale) -> str:
    if not isinstance(value.tzinfo, ZoneInfo):
        return offset_text(value)
    if count >= 4:
        return str(get_timezone_name(value, width="long", locale=locale))
    return value.tzname() or offset_text(value)


def _generic_zone_name(count: int, value: datetime, locale: Locale) -> str:
    if not isinstance(value.tzinfo, ZoneInfo):
        return offset_text(value)
    width: Any = "long" if count >= 4 else "short"
    return str(get_timezone_name(value.tzinfo, width=width, locale=locale))


def _localized_offset(count: int, value: datetime, locale: Locale) -> str:
    text = offset_text(value, "")
    if not text or count >= 4:
        return "GMT" + text
    hours, minutes = text[1:3].lstrip("0") or "0", text[4:]
    return f"GMT{text[0]}{hours}" + (f":{minutes}" if minutes.strip("0:") else "")


def _offset_x(count: int, value: datetime, locale: Locale) -> str:
    return _offset(count, value, "+00" if count == 1 else "+0000" if count in (2, 4) else "+00:00")


def _offset_upper_x(count: int, value: datetime, locale: Locale) -> str:
    return _offset(count, value, "Z")


def _offset(count: int, value: datetime, zero: str) -> str:
    text = offset_text(value, "")
    if not text:
        return zero
    if count == 1:
        return text[:3] if text[4:] == "00" else text[:6].replace(":", "")
    return text.replace(":", "") if count in (2, 4) else text


def _offset_z(count: int, value: datetime, locale: Locale) -> str:
    if count == 4:
        return _localized_offset(4, value, locale)
    if count == 5:
        return offset_text(value)
    return offset_text(value, "+00:00").replace(":", "")


_TEXTS: dict[str, Callable[[int, datetime, Locale], str]] = {
    "G": _era,
    "y": _year,
    "u": _year,
    "Y": _week_year,
    "M": _month,
    "L": _month,
    "Q": _quarter,
    "q": _quarter,
    "w": _week_of_year,
    "W": _week_of_month,
    "E": _weekday,
    "e": _local_weekday,
    "c": _local_weekday,
    "a": _half_day,
    "B": _day_period,
    "S": _fraction,
    "V": _zone_id,
    "v": _generic_zone_name,
    "z": _zone_name,
    "O": _localized_offset,
    "X": _offset_upper_x,
    "x": _offset_x,
    "Z": _offset_z,
}
