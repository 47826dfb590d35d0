"""Durations as flows write them: ISO-8601 text or a number of seconds, to and from timedeltas."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(
    r"(?P<sign>[-+])?P(?:(?P<weeks>[-+]?\d+)W)?(?:(?P<days>[-+]?\d+)D)?"
    r"(?:T(?:(?P<hours>[-+]?\d+)H)?(?:(?P<minutes>[-+]?\d+)M)?(?:(?P<seconds>[-+]?\d+)(?:[.,](?P<fraction>\d{0,9}))?S)?)?",
    re.IGNORECASE,
)


def parse_duration(value: str | int | float | timedelta) -> timedelta:
    """
    Read a duration: ISO-8601 (`PT1H30M`, `P1D`, `PT0.25S`) or a number of seconds.

    Raises ValueError with a sentence for anything else.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except (OverflowError, ValueError) as error:
            raise ValueError(f"'{value}' is not a number of seconds that a duration can have; write less.") from error
    text = str(value).strip()
    match = _DURATION.fullmatch(text)
    if (
        match is None
        or text[-1] in "PTpt"
        or not any(match[part] for part in ("weeks", "days", "hours", "minutes", "seconds"))
    ):
        raise ValueError(f"'{value}' is not a duration; write it as ISO-8601, for example 'PT30S' or 'P1D'.")
    seconds = float(f"{match['seconds'] or 0}.{match['fraction'] or 0}")
    try:
        length = timedelta(
            weeks=int(match["weeks"] or 0),
            days=int(match["days"] or 0),
            hours=int(match["hours"] or 0),
            minutes=int(match["minutes"] or 0),
            seconds=seconds,
        )
    except OverflowError as error:
        raise ValueError(f"The duration '{value}' is too long; write at most 999999999 days.") from error
    return -length if match["sign"] == "-" else length


def later(at: datetime, length: timedelta) -> datetime:
    """Return the instant so much later (or earlier); what lies beyond all years is the last (or first) instant."""
    try:
        return at + length
    except OverflowError:
        return (datetime.max if length > timedelta() else datetime.min).replace(tzinfo=UTC)


def format_duration(length: timedelta) -> str:
    """Write a duration in hours, minutes and seconds (`PT26H`, `PT1M0.5S`), `PT0S` when it is nothing."""
    micros = (length.days * 86_400 + length.seconds) * 1_000_000 + length.microseconds
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    seconds, fraction = divmod(micros, 1_000_000)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    text = (f"{sign}{hours}H" if hours else "") + (f"{sign}{minutes}M" if minutes else "")
    if seconds or fraction:
        tail = f".{fraction:06d}".rstrip("0") if fraction else ""
        text += f"{sign}{seconds}{tail}S"
    return f"PT{text}" if text else "PT0S"
