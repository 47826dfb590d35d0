"""Dates and times as conditions are given them: texts that expressions rendered, in the forms that Java reads."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from tiercel.errors import ExpressionError

YEARS: Final = range(2, 9999)
"""Years whose dates can be told in every time zone."""


def read_moment(text: str, zone: tzinfo = UTC) -> datetime:
    """Read a date with time; one that names no zone is in `zone`. Raises ExpressionError."""
    try:
        found = datetime.fromisoformat(_plain(text))
    except ValueError as error:
        raise ExpressionError(f"'{text}' is not a date with time; write it as '2024-12-31T23:59:59Z'.") from error
    if found.year not in YEARS:
        raise ExpressionError(f"'{text}' lies outside the years {YEARS.start} to {YEARS.stop - 1}.")
    return found if found.tzinfo else found.replace(tzinfo=zone)


def read_day(text: str) -> date:
    """Read a date, or take that of a date with time as it is written. Raises ExpressionError."""
    try:
        return datetime.fromisoformat(_plain(text)).date()
    except ValueError as error:
        raise ExpressionError(f"'{text}' is not a date; write it as '2024-12-31'.") from error


def read_offset_time(text: str) -> timedelta:
    """Read a time with offset as its distance from midnight UTC, by which such times are compared."""
    try:
        found = time.fromisoformat(text.strip())
    except ValueError as error:
        raise ExpressionError(f"'{text}' is not a time; write it with its offset, as '16:20:00+02:00'.") from error
    return _since_midnight(found)


def offset_time(moment: datetime) -> timedelta:
    """Return the same distance for the time of a date."""
    return _since_midnight(moment.timetz())


def _since_midnight(at: time) -> timedelta:
    # The offset of a time without date is a fixed one; a region has none and counts as UTC.
    length = timedelta(hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
    return length - (at.utcoffset() or timedelta())


def _plain(text: str) -> str:
    """Drop the region that Java writes behind the offset."""
    return text.strip().partition("[")[0]
