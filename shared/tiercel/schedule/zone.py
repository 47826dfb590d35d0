"""
Time zones of schedules, from the pinned `tzdata` package: every scheduler computes the same dates on any machine.

Beside regions, the fixed offsets that Java understands are read: `Z`, `+02:00`, `UTC+2`, `GMT-03:30`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from tiercel.errors import FlowAuthorError

_OFFSET: Final = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?")
_REGION: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_PROBE: Final = timedelta(hours=12)
"""Between two probes of an offset; no zone ever changed its offset and back within half a day."""


class InvalidZone(FlowAuthorError):
    """The text names no time zone."""


class Transition(NamedTuple):
    """At `at` (UTC) the offset changes from `before` to `after`."""

    at: datetime
    before: timedelta
    after: timedelta


@lru_cache(maxsize=1024)
def find_zone(name: str) -> tzinfo:
    """Return the zone of this name; raise InvalidZone when there is none."""
    if name in {"Z", "UTC", "UT", "Etc/UTC", "GMT"}:
        return UTC
    match = _OFFSET.fullmatch(name)
    if match:
        sign, hours, minutes, seconds = match.groups()
        size = timedelta(hours=int(hours), minutes=int(minutes or 0), seconds=int(seconds or 0))
        if size >= timedelta(hours=24):
            raise InvalidZone(f"'{name}' is not a time zone: offsets are shorter than a day.")
        return timezone(-size if sign == "-" else size)
    if _REGION.fullmatch(name):
        *folders, file = name.split("/")
        source = resources.files("tzdata").joinpath("zoneinfo", *folders, file)
        if source.is_file():
            with source.open("rb") as content:
                return ZoneInfo.from_file(content, key=name)
    raise InvalidZone(f"'{name}' is not a time zone; write a region such as 'Europe/Paris' or an offset as '+02:00'.")


@lru_cache(maxsize=2048)
def transitions(zone: tzinfo, year: int) -> tuple[Transition, ...]:
    """Return the changes of a zone's offset within a UTC year, in order."""
    found: list[Transition] = []
    if isinstance(zone, timezone):
        return ()
    probe, last = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    before = offset_at(zone, probe)
    while probe < last:
        following = min(probe + _PROBE, last)
        after = offset_at(zone, following)
        if after != before:
            found.append(Transition(_bisect(zone, probe, following, before), before, after))
            before = after
        probe = following
    return tuple(found)


def offset_at(zone: tzinfo, instant: datetime) -> timedelta:
    """Return a zone's offset from UTC at an instant."""
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _bisect(zone: tzinfo, low: datetime, high: datetime, before: timedelta) -> datetime:
    """Return the first second at which the offset is no longer `before`."""
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if offset_at(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high
