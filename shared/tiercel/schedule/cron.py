"""
Cron expressions as Kestra reads them: five fields, or six with seconds first.

Nicknames (`@hourly`), names (`MON`, `JAN`), ranges, lists, steps, Sunday as 0 or 7, `L`, `L-n`, `LW`, `nW` for days of
the month, `nL` and `n#k` for days of the week. When both day fields are restricted, a day matches either of them.
Here dates have no zone; `tiercel.schedule.timetable` puts them on the real line.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left, bisect_right
from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple

from tiercel.errors import FlowAuthorError

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = {
    "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6,
    "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12,
}  # fmt: skip
_DAYS: Final = {"SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6}


class InvalidCron(FlowAuthorError):
    """The text is no cron expression."""


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS: Final = (
    _Field("second", 0, 59, {}),
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
)


class Cron:
    """A parsed expression; it finds matching wall-clock times in both directions."""

    __slots__ = ("_days", "_month_days", "_week_days", "fixed_hours", "fixed_time", "months", "text", "times")

    def __init__(self, text: str, fields: list[str]) -> None:
        self.text = text
        second, minute, hour, day, month, weekday = fields
        self.times = _Times(*(_numbers(_FIELDS[i], part) for i, part in enumerate((second, minute, hour))))
        self.months = frozenset(_numbers(_FIELDS[4], month))
        self._month_days = None if day == "*" else [_month_day(item) for item in day.split(",")]
        self._week_days = None if weekday == "*" else [_week_day(item) for item in weekday.split(",")]
        self.fixed_hours = not hour.startswith("*")
        """The hours are named: a date that a clock change skips is to be made up for."""
        self.fixed_time = self.fixed_hours and not minute.startswith("*") and not second.startswith("*")
        """No part of the time repeats by itself: a date that a clock change repeats counts once."""
        self._days: dict[tuple[int, int], tuple[int, ...]] = {}

    def first_from(self, wall: datetime, limit: datetime) -> datetime | None:
        """Return the first match that is not before `wall` (whole seconds) and before `limit`."""
        day, moment = wall.date(), wall.time()
        while True:
            found = self._day_from(day, limit.date())
            if found is None:
                return None
            at = self.times.first_from(moment if found == wall.date() else time.min)
            if at is not None:
                match = datetime.combine(found, at)
                return match if match < limit else None
            day = found + timedelta(days=1)

    def last_until(self, wall: datetime, limit: datetime) -> datetime | None:
        """Return the last match that is not after `wall` (whole seconds) and not before `limit`."""
        day, moment = wall.date(), wall.time()
        while True:
            found = self._day_until(day, limit.date())
            if found is None:
                return None
            at = self.times.last_until(moment if found == wall.date() else time(23, 59, 59))
            if at is not None:
                match = datetime.combine(found, at)
                return match if match >= limit else None
            day = found - timedelta(days=1)

    def _day_from(self, day: date, last: date) -> date | None:
        year, month, number = day.year, day.month, day.day
        while (year, month) <= (last.year, last.month):
            if month in self.months:
                days = self._days_of(year, month)
                index = bisect_left(days, number)
                if index < len(days):
                    return date(year, month, days[index])
            year, month, number = (year + 1, 1, 1) if month == 12 else (year, month + 1, 1)
        return None

    def _day_until(self, day: date, first: date) -> date | None:
        year, month, number = day.year, day.month, day.day
        while (year, month) >= (first.year, first.month):
            if month in self.months:
                days = self._days_of(year, month)
                index = bisect_right(days, number)
                if index:
                    return date(year, month, days[index - 1])
            year, month, number = (year - 1, 12, 31) if month == 1 else (year, month - 1, 31)
        return None

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        """Return the matching days of a month, sorted."""
        days = self._days.get((year, month))
        if days is None:
            first, length = calendar.monthrange(year, month)
            both = range(1, length + 1)
            found: set[int] = set()
            if self._month_days is None and self._week_days is None:
                found.update(both)
            for rule in self._month_days or ():
                found |= rule.days(first, length)
            for weekday in self._week_days or ():
                found |= weekday.days(first, length)
            # A schedule walks through the months in order; a few years of them are enough to remember.
            if len(self._days) >= 64:
                self._days.clear()
            days = self._days[year, month] = tuple(sorted(found))
        return days


def parse_cron(text: str, *, with_seconds: bool | None = None) -> Cron:
    """
    Read an expression; raise InvalidCron with what is wrong.

    `with_seconds` demands six fields (True) or five (False); None takes either.
    """
    written = text.strip()
    nickname = NICKNAMES.get(written.lower())
    fields = (nickname or written).upper().split()
    if nickname is None:
        wanted = {None: (5, 6), True: (6,), False: (5,)}[with_seconds]
        if len(fields) not in wanted:
            raise InvalidCron(
                f"'{text}' is not a cron expression: it has {len(fields)} fields instead of "
                f"{' or '.join(map(str, wanted))}; a sixth field, the seconds in front, needs 'withSeconds: true'."
            )
    if len(fields) == 5:
        fields = ["0", *fields]
    try:
        return Cron(written, fields)
    except ValueError as error:
        raise InvalidCron(f"'{text}' is not a cron expression: {error}.") from error


def cron_problem(text: str, with_seconds: bool | None = None) -> str | None:
    """Tell what is wrong with an expression, None when nothing is; `with_seconds` demands as in `parse_cron`."""
    try:
        parse_cron(text, with_seconds=with_seconds)
    except InvalidCron as error:
        return f"invalid cron expression '{text}': {error}"
    return None


class _Times:
    """The times of a day that match: every combination of these hours, minutes and seconds."""

    __slots__ = ("hours", "minutes", "seconds")

    def __init__(self, seconds: tuple[int, ...], minutes: tuple[int, ...], hours: tuple[int, ...]) -> None:
        self.seconds = seconds
        self.minutes = minutes
        self.hours = hours

    def first_from(self, at: time) -> time | None:
        hour, minute, second = at.hour, at.minute, at.second
        if hour in self.hours:
            if minute in self.minutes:
                index = bisect_left(self.seconds, second)
                if index < len(self.seconds):
                    return time(hour, minute, self.seconds[index])
            index = bisect_right(self.minutes, minute)
            if index < len(self.minutes):
                return time(hour, self.minutes[index], self.seconds[0])
        index = bisect_right(self.hours, hour)
        return time(self.hours[index], self.minutes[0], self.seconds[0]) if index < len(self.hours) else None

    def last_until(self, at: time) -> time | None:
        hour, minute, second = at.hour, at.minute, at.second
        if hour in self.hours:
            if minute in self.minutes:
                index = bisect_right(self.seconds, second)
                if index:
                    return time(hour, minute, self.seconds[index - 1])
            index = bisect_left(self.minutes, minute)
            if index:
                return time(hour, self.minutes[index - 1], self.seconds[-1])
        index = bisect_left(self.hours, hour)
        return time(self.hours[index - 1], self.minutes[-1], self.seconds[-1]) if index else None


class _MonthDays(NamedTuple):
    """Days of a month: numbers, or counted from its end, or the working day nearest to one."""

    numbers: frozenset[int] = frozenset()
    from_end: int | None = None
    nearest_working: bool = False

    def days(self, first: int, length: int) -> set[int]:
        if self.from_end is not None:
            chosen = {length - self.from_end} if length > self.from_end else set()
        else:
            chosen = {number for number in self.numbers if number <= length}
        return {_working(number, first, length) for number in chosen} if self.nearest_working else chosen


class _WeekDays(NamedTuple):
    """Days of the week (Monday is 0): all of them in the month, the last, or the `nth`."""

    weekdays: frozenset[int]
    nth: int | None = None
    last: bool = False

    def days(self, first: int, length: int) -> set[int]:
        chosen = {number for number in range(1, length + 1) if (first + number - 1) % 7 in self.weekdays}
        if self.last:
            return {number for number in chosen if number + 7 > length}
        if self.nth is not None:
            return {number for number in chosen if (number - 1) // 7 + 1 == self.nth}
        return chosen


def _working(number: int, first: int, length: int) -> int:
    """Return the working day nearest to a day, within its month."""
    weekday = (first + number - 1) % 7
    if weekday == 5:
        return number - 1 if number > 1 else number + 2
    if weekday == 6:
        return number + 1 if number < length else number - 2
    return number


def _month_day(item: str) -> _MonthDays:
    if item.startswith("L"):
        rest, working = (item[1:].removesuffix("W"), item.endswith("W"))
        if rest and not (rest.startswith("-") and rest[1:].isdigit() and 1 <= int(rest[1:]) <= 30):
            raise ValueError(f"'{item}' is no day of month; 'L', 'L-3' and 'LW' count from the end")
        return _MonthDays(from_end=int(rest[1:]) if rest else 0, nearest_working=working)
    if item.endswith("W"):
        return _MonthDays(frozenset(_numbers(_FIELDS[3], item[:-1])), nearest_working=True)
    return _MonthDays(frozenset(_numbers(_FIELDS[3], item)))


def _week_day(item: str) -> _WeekDays:
    day, hash_, nth = item.partition("#")
    if hash_:
        if nth not in {"1", "2", "3", "4", "5"}:
            raise ValueError(f"'{item}' is no day of week; the number after '#' is 1 to 5")
        return _WeekDays(_weekdays(day), nth=int(nth))
    if item.endswith("L") and len(item) > 1:
        return _WeekDays(_weekdays(item[:-1]), last=True)
    return _WeekDays(_weekdays(item))


def _weekdays(item: str) -> frozenset[int]:
    """Return days of the week, Monday as 0; both 0 and 7 are Sunday, which may end a range."""
    if item.endswith("-SUN"):
        item = item.removesuffix("SUN") + "7"
    return frozenset((number - 1) % 7 for number in _numbers(_FIELDS[5], item))


def _numbers(field: _Field, text: str) -> tuple[int, ...]:
    """Return the sorted numbers of a field's text."""
    found: set[int] = set()
    for item in text.split(","):
        found.update(_range(field, item))
    return tuple(sorted(found))


def _range(field: _Field, item: str) -> range:
    span, slash, step_text = item.partition("/")
    step = 1
    if slash:
        if not (step_text.isascii() and step_text.isdigit() and 1 <= int(step_text) <= field.high - field.low + 1):
            raise ValueError(f"'{item}' has no valid step for the {field.name}")
        step = int(step_text)
    if span == "*":
        # Sunday has two numbers; one is enough.
        return range(field.low, (6 if field.high == 7 else field.high) + 1, step)
    start_text, dash, end_text = span.partition("-")
    start = _number(field, start_text)
    end = _number(field, end_text) if dash else (field.high if slash else start)
    if end < start:
        raise ValueError(f"the range '{span}' of the {field.name} ends before it begins")
    return range(start, end + 1, step)


def _number(field: _Field, text: str) -> int:
    named = field.names.get(text)
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"'{text}' is no {field.name}")
    number = int(text)
    if not field.low <= number <= field.high:
        raise ValueError(f"{number} is no {field.name}, which is {field.low} to {field.high}")
    return number
