"""Functions about days: weekdays, months, working days and public holidays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import holidays

from tiercel.expression.dates import reading
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function
from tiercel.expression.values import Long

_DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_POSITIONS = {"FIRST": 0, "SECOND": 1, "THIRD": 2, "FOURTH": 3}


def _needed(args: Args, name: str, call: Call) -> str:
    if args.get(name) is None:
        raise call.fail(f"The '{call.name}()' function expects a '{name}' argument.")
    return java_text(args[name])


def _read(args: Args, name: str, call: Call) -> date | datetime:
    text = _needed(args, name, call)
    try:
        return reading.iso(text)
    except ValueError as error:
        raise call.fail(f"The '{call.name}()' function could not parse '{name}': {error}") from error


def _day(args: Args, call: Call) -> date:
    found = _read(args, "date", call)
    return found.date() if isinstance(found, datetime) else found


def _instant(args: Args, name: str, call: Call) -> datetime:
    """Return a point in time; a date without a zone, or without a time, is one of UTC."""
    found = _read(args, name, call)
    if not isinstance(found, datetime):
        return datetime(found.year, found.month, found.day, tzinfo=UTC)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _placed(args: Args, name: str, call: Call) -> datetime:
    """Return a point in time, whose zone must be written."""
    found = _read(args, name, call)
    if isinstance(found, datetime) and found.tzinfo is None:
        message = f"'{found.isoformat()}' has no offset; end it with 'Z' or one such as '+02:00'."
        raise call.fail(f"The '{call.name}()' function could not parse '{name}': {message}")
    return _instant(args, name, call)


def _hour_of_day(args: Args, call: Call) -> Any:
    found = _read(args, "date", call)
    if not isinstance(found, datetime):
        raise call.fail("The 'hourOfDay()' function could not parse 'date': it has no time.")
    return found.hour


def _weekday(text: str, name: str, call: Call) -> int:
    if text.upper() not in _DAYS:
        raise call.fail(
            f"The '{call.name}()' function received an invalid '{name}' value: '{text}'. "
            f"Expected one of: {', '.join(_DAYS)}."
        )
    return _DAYS.index(text.upper())


def _is_day_week_in_month(args: Args, call: Call) -> bool:
    day = _day(args, call)
    wanted = _weekday(_needed(args, "dayOfWeek", call), "dayOfWeek", call)
    position = _needed(args, "position", call).upper()
    if position == "LAST":
        return day.weekday() == wanted and (day + timedelta(days=7)).month != day.month
    if position not in _POSITIONS:
        raise call.fail(
            f"The 'isDayWeekInMonth()' function received an invalid 'position' value: '{position}'. "
            "Expected one of: FIRST, SECOND, THIRD, FOURTH, LAST."
        )
    return day.weekday() == wanted and (day.day - 1) // 7 == _POSITIONS[position]


def _is_last_working_day(args: Args, call: Call) -> bool:
    day = _day(args, call)
    names = args.get("workingDays")
    working = set(range(5))
    if names is not None and java_text(names).strip():
        working = {_weekday(name, "workingDays", call) for name in re.split(r"[,\s]+", java_text(names)) if name}
    if not working:
        raise call.fail("The 'isLastWorkingDay()' function requires at least one valid day in 'workingDays'.")
    if day.weekday() not in working:
        return False
    following = day + timedelta(days=1)
    while following.month == day.month:
        if following.weekday() in working:
            return False
        following += timedelta(days=1)
    return True


def _is_public_holiday(args: Args, call: Call) -> bool:
    day, country = _day(args, call), _needed(args, "countryCode", call).upper()
    division = args.get("subDivision")
    try:
        return day in _calendar(country, java_text(division).upper() if division else None)
    except NotImplementedError as error:  # what the library raises for what it does not know
        raise call.fail(f"The 'isPublicHoliday()' function does not know the country '{country}'.") from error


@lru_cache(maxsize=64)
def _calendar(country: str, division: str | None) -> Any:
    known = holidays.list_supported_countries()
    if country not in known:
        raise NotImplementedError(country)  # as the library does
    # A division may bear its country in front (`DE-BY`); one with no holidays of its own has those of the country.
    own = division.removeprefix(f"{country}-") if division is not None else None
    return holidays.country_holidays(country, subdiv=own if own in known[country] else None)


def _is_date_after(args: Args, call: Call) -> bool:
    return _instant(args, "date", call) > _instant(args, "reference", call)


def _is_date_before(args: Args, call: Call) -> bool:
    return _instant(args, "date", call) < _instant(args, "reference", call)


def _is_date_between(args: Args, call: Call) -> bool:
    date_, after, before = (_placed(args, name, call) for name in ("date", "after", "before"))
    return after < date_ < before


def _of_day(action: Callable[[date], Any]) -> Function:
    return Function(lambda args, call: action(_day(args, call)), ("date",))


FUNCTIONS: Mapping[str, Function] = {
    "dayOfMonth": _of_day(lambda day: Long(day.day)),
    "dayOfWeek": _of_day(lambda day: _DAYS[day.weekday()]),
    "hourOfDay": Function(_hour_of_day, ("date",)),
    "isDateAfter": Function(_is_date_after, ("date", "reference")),
    "isDateBefore": Function(_is_date_before, ("date", "reference")),
    "isDateBetween": Function(_is_date_between, ("date", "after", "before")),
    "isDayWeekInMonth": Function(_is_day_week_in_month, ("date", "dayOfWeek", "position")),
    "isLastWorkingDay": Function(_is_last_working_day, ("date", "workingDays")),
    "isPublicHoliday": Function(_is_public_holiday, ("date", "countryCode", "subDivision")),
    "isWeekend": _of_day(lambda day: day.weekday() >= 5),
    "monthOfYear": _of_day(lambda day: Long(day.month)),
}
