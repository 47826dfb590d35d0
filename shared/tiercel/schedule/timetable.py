"""
When a schedule fires: a cron expression in a time zone, or a list of dates, as instants on the real line.

Rules for a changing clock: a date with named hours that falls into a gap fires once, at the first instant after it; a
fixed time that happens twice fires once, the first time; patterns that repeat (`*`, `*/n`) fire at every real interval.

A zone is worked through in pieces of constant offset. Within a piece wall-clock arithmetic is plain; the rules above
concern only where one piece ends and the next begins.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple, Protocol

from tiercel.schedule.cron import Cron
from tiercel.schedule.zone import offset_at, transitions

YEARS_MAX: Final = 10
"""How far dates are searched; the rarest cron date, 29 February around 2100, returns after eight years."""
_SECOND: Final = timedelta(seconds=1)
"""The grain of cron expressions."""


class Timetable(Protocol):
    """Knows the dates of a schedule, as instants (UTC)."""

    @property
    def zone(self) -> tzinfo:
        """The zone in which its dates are written."""
        ...

    def after(self, instant: datetime) -> datetime | None:
        """Return the first date after the instant, None when there is none within ten years."""
        ...

    def before(self, instant: datetime) -> datetime | None:
        """Return the last date before the instant, None when there is none within ten years."""
        ...


class _Piece(NamedTuple):
    """A stretch [begin, end) of constant offset; `before` is the offset that ended at `begin`, if one did."""

    begin: datetime
    end: datetime
    offset: timedelta
    before: timedelta | None


class CronTimetable:
    """The dates of a cron expression in a zone."""

    __slots__ = ("_zone", "cron")

    def __init__(self, cron: Cron, zone: tzinfo) -> None:
        self.cron = cron
        self._zone = zone

    @property
    def zone(self) -> tzinfo:
        return self._zone

    def after(self, instant: datetime) -> datetime | None:
        start = instant.astimezone(UTC).replace(microsecond=0) + _SECOND
        for piece in self._pieces(start):
            missed = self._missed(piece)
            if missed is not None and missed >= start:
                return missed
            found = self.cron.first_from(self._wall(piece, max(piece.begin, start)), _naive(piece.end, piece.offset))
            if found is not None:
                return found.replace(tzinfo=UTC) - piece.offset
        return None

    def before(self, instant: datetime) -> datetime | None:
        start = instant.astimezone(UTC)
        start = (start if start.microsecond == 0 else start.replace(microsecond=0) + _SECOND) - _SECOND
        for piece in self._pieces_back(start):
            until = _naive(min(start, piece.end - _SECOND), piece.offset)
            lowest = self._wall(piece, piece.begin)
            found = self.cron.last_until(until, lowest) if until >= lowest else None
            if found is not None:
                return found.replace(tzinfo=UTC) - piece.offset
            missed = self._missed(piece)
            if missed is not None:
                return missed
        return None

    def _missed(self, piece: _Piece) -> datetime | None:
        """Return the piece's begin when the gap before it has swallowed a date with named hours."""
        if piece.before is None or piece.offset <= piece.before or not self.cron.fixed_hours:
            return None
        gap_begin, gap_end = _naive(piece.begin, piece.before), _naive(piece.begin, piece.offset)
        return piece.begin if self.cron.first_from(gap_begin, gap_end) is not None else None

    def _wall(self, piece: _Piece, instant: datetime) -> datetime:
        """Return the wall-clock time from which the piece counts; a fixed time does not count its repetition."""
        wall = _naive(instant, piece.offset)
        if piece.before is not None and piece.before > piece.offset and self.cron.fixed_time:
            return max(wall, _naive(piece.begin, piece.before))
        return wall

    def _pieces(self, start: datetime) -> Iterator[_Piece]:
        """Yield the pieces that end after `start`, the one that holds it first."""
        for year in range(start.year, min(start.year + YEARS_MAX, 9998) + 1):
            for piece in _pieces_of(self._zone, year):
                if piece.end > start:
                    yield piece

    def _pieces_back(self, start: datetime) -> Iterator[_Piece]:
        for year in range(start.year, max(start.year - YEARS_MAX, 2) - 1, -1):
            for piece in reversed(_pieces_of(self._zone, year)):
                if piece.begin <= start:
                    yield piece


class DatesTimetable:
    """Given dates."""

    __slots__ = ("_zone", "dates")

    def __init__(self, dates: Iterable[datetime], zone: tzinfo) -> None:
        self.dates = sorted({date.astimezone(UTC) for date in dates})
        self._zone = zone

    @property
    def zone(self) -> tzinfo:
        return self._zone

    def after(self, instant: datetime) -> datetime | None:
        index = bisect_right(self.dates, instant)
        return self.dates[index] if index < len(self.dates) else None

    def before(self, instant: datetime) -> datetime | None:
        index = bisect_left(self.dates, instant)
        return self.dates[index - 1] if index else None


def _pieces_of(zone: tzinfo, year: int) -> list[_Piece]:
    begin, last = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    offset, before = offset_at(zone, begin), None
    pieces = []
    for change in transitions(zone, year):
        pieces.append(_Piece(begin, change.at, offset, before))
        begin, offset, before = change.at, change.after, change.before
    pieces.append(_Piece(begin, last, offset, before))
    return pieces


def _naive(instant: datetime, offset: timedelta) -> datetime:
    return (instant + offset).replace(tzinfo=None)
