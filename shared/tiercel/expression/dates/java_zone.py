"""
Time zones as the template language names them, which is as Java does: regions, `Z`, offsets, offsets from UTC or GMT.

Those of schedules, with rules that are the same on every machine, are in `tiercel.schedule.zone`.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?")


@lru_cache(maxsize=256)
def java_zone(name: str) -> tzinfo:
    """Return the zone of this name, or raise ValueError."""
    if name == "Z":
        return UTC
    match = _OFFSET.fullmatch(name)
    if match:
        return offset(match)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise ValueError(f"Unknown time-zone ID: {name}") from error


def offset(match: re.Match[str]) -> tzinfo:
    """Return the fixed zone of a sign, hours, and perhaps minutes and seconds."""
    sign, hours, minutes, seconds = match.groups()
    size = timedelta(hours=int(hours), minutes=int(minutes or 0), seconds=int(seconds or 0))
    return timezone(-size if sign == "-" else size) if size else UTC
