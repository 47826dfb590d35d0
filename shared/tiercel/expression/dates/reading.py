"""Reads dates: ISO texts as Java's parse() takes them, and texts by a pattern."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache

from babel import Locale

from tiercel.expression.dates import pattern
from tiercel.expression.dates.java_zone import java_zone
from tiercel.expression.dates.pattern import Field

_ISO = re.compile(
    r"(?P<date>[+-]?\d{4,6}-\d{2}-\d{2})"
    r"(?:[Tt](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?)?"
    r"(?P<offset>[Zz]|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)?(?:\[(?P<zone>[^\]]+)\])?"
)


def iso(text: str) -> date | datetime:
    """Read an ISO text: a date, a local date and time, or one with an offset and perhaps a zone."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"Text '{text}' could not be parsed")
    day = date.fromisoformat(match["date"])
    if match["hour"] is None:
        if match["offset"] or match["zone"]:
            raise ValueError(f"Text '{text}' could not be parsed")
        return day
    clock = time(int(match["hour"]), int(match["minute"]), int(match["second"] or 0), _micros(match["fraction"]))
    local = datetime.combine(day, clock)
    if match["offset"] is None:
        if match["zone"]:
            raise ValueError(f"Text '{text}' could not be parsed")
        return local
    exact = local.replace(tzinfo=java_zone(match["offset"].upper()))
    return exact.astimezone(java_zone(match["zone"])) if match["zone"] else exact


_ORDINAL = re.compile(r"(\d{4})-(\d{3})(?:Z|[+-]\d{2}:\d{2})?")
_WEEK = re.compile(r"(\d{4})-W(\d{2})-([1-7])(?:Z|[+-]\d{2}:\d{2})?")


def ordinal(text: str) -> date:
    """Read a year and its day, `2024-060`."""
    match = _ORDINAL.fullmatch(text)
    if match is None:
        raise ValueError(f"Text '{text}' could not be parsed")
    day = date(int(match[1]), 1, 1) + timedelta(days=int(match[2]) - 1)
    if day.year != int(match[1]):
        raise ValueError(f"Text '{text}' could not be parsed: the year has no such day")
    return day


def week(text: str) -> date:
    """Read a year, its week and the day in it, `2024-W09-4`."""
    match = _WEEK.fullmatch(text)
    if match is None:
        raise ValueError(f"Text '{text}' could not be parsed")
    return date.fromisocalendar(int(match[1]), int(match[2]), int(match[3]))


def rfc_1123(text: str) -> datetime:
    """Read a date of mails and of HTTP, `Thu, 29 Feb 2024 10:11:12 GMT`."""
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Text '{text}' could not be parsed") from error


def _micros(fraction: str | None) -> int:
    return int((fraction or "").ljust(6, "0")[:6])


def by_pattern(text: str, format_text: str, locale: Locale) -> date | datetime:
    """Read a text by a pattern; what it holds decides between a date, a local one with time, and a zoned one."""
    match = _compiled(format_text, str(locale)).fullmatch(text)
    if match is None:
        raise ValueError(f"Text '{text}' could not be parsed by the format '{format_text}'")
    found = {name: value for name, value in match.groupdict().items() if value is not None}
    day = _day(found, locale)
    if not _TIME_KEYS & found.keys():
        return day
    moment = datetime.combine(day, _time(found))
    zone = _zone(found)
    return moment.replace(tzinfo=zone) if zone else moment


_TIME_KEYS = {"hour", "hour12", "minute", "second"}


@lru_cache(maxsize=256)
def _compiled(format_text: str, locale_name: str) -> re.Pattern[str]:
    locale = Locale.parse(locale_name)
    seen: set[str] = set()
    parts: list[str] = []
    for field in pattern.fields(format_text):
        if field.letter == "[":
            parts.append("(?:")
        elif field.letter == "]":
            parts.append(")?")
        elif field.letter == "":
            parts.append(re.escape(field.text))
        else:
            parts.append(_part(field, locale, seen))
    return re.compile("".join(parts))


def _part(field: Field, locale: Locale, seen: set[str]) -> str:
    name, expression = _expression(field, locale)
    if not name or name in seen:
        return f"(?:{expression})"
    seen.add(name)
    return f"(?P<{name}>{expression})"


_WIDE = {"d": "day", "H": "hour", "k": "hour24", "h": "hour12", "K": "hour12", "m": "minute", "s": "second"}


def _expression(field: Field, locale: Locale) -> tuple[str, str]:
    letter, count = field.letter, field.count
    match letter:
        case "y" | "u" | "Y":
            return ("year2", r"\d{2}") if count == 2 else ("year", rf"[+-]?\d{{{count if count > 1 else '1,6'}}}")
        case "M" | "L" if count >= 3:
            return "month_name", _names(locale.months["format"]["abbreviated" if count == 3 else "wide"])
        case "M" | "L":
            return "month", r"\d{2}" if count == 2 else r"\d{1,2}"
        case "E" | "e" | "c":
            return "", _names(locale.days["format"]["abbreviated" if count <= 3 else "wide"])
        case "d" | "H" | "k" | "h" | "K" | "m" | "s":
            return _WIDE[letter], r"\d{2}" if count == 2 else r"\d{1,2}"
        case "D":
            return "day_of_year", r"\d{3}" if count == 3 else r"\d{1,3}"
        case "S":
            return "fraction", rf"\d{{{count}}}"
        case "a":
            return "half", "[AaPp][Mm]"
        case "X" | "x" | "Z":
            return "offset", r"Z|[+-]\d{2}(?::?\d{2})?(?::?\d{2})?"
        case "V" | "z" | "v" | "O":
            return "zone", r"[A-Za-z][\w/+:-]*|[+-]\d{2}:?\d{2}"
        case _:
            raise ValueError(f"The pattern letter {letter} can be written but not read")


def _names(names: object) -> str:
    texts = [str(text) for text in names.values()] if hasattr(names, "values") else []
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))


def _day(found: dict[str, str], locale: Locale) -> date:
    year = int(found["year"]) if "year" in found else 2000 + int(found["year2"]) if "year2" in found else None
    if year is None:
        raise ValueError("The format has no year")
    if "day_of_year" in found:
        return date(year, 1, 1) + timedelta(days=int(found["day_of_year"]) - 1)
    if ("month" not in found and "month_name" not in found) or "day" not in found:
        raise ValueError("The format has no day")
    month = int(found["month"]) if "month" in found else _month_number(found["month_name"], locale)
    return date(year, month, int(found["day"]))


def _month_number(name: str, locale: Locale) -> int:
    for width in ("wide", "abbreviated"):
        for number, text in locale.months["format"][width].items():
            if text == name:
                return int(number)
    raise ValueError(f"'{name}' is no month")


def _time(found: dict[str, str]) -> time:
    hour = int(found.get("hour", 0))
    if "hour24" in found:
        hour = int(found["hour24"]) % 24
    if "hour12" in found:
        hour = int(found["hour12"]) % 12 + (12 if found.get("half", "am").lower() == "pm" else 0)
    return time(hour, int(found.get("minute", 0)), int(found.get("second", 0)), _micros(found.get("fraction")))


def _zone(found: dict[str, str]) -> tzinfo | None:
    if "zone" in found:
        return java_zone(found["zone"])
    if "offset" in found:
        return UTC if found["offset"] == "Z" else java_zone(found["offset"])
    return None
