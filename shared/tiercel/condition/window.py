"""
Windows: within which time several upstream executions must have happened for a Flow trigger to fire.

Pure: a window is a value that its owner keeps by flow and trigger; it is made for an instant, collects which conditions
were met, and is over when its end has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Final, NamedTuple

import msgspec

from tiercel.model.duration import later
from tiercel.plugins.core.condition.execution import MultipleCondition
from tiercel.plugins.core.trigger.flow import TimeWindow, TimeWindowType, Window
from tiercel.schedule.zone import find_zone

DAY: Final = timedelta(days=1)
LENGTH_MAX: Final = timedelta(days=3660)
"""Windows last ten years at most: longer ones would never be seen to end."""
_MILLISECOND: Final = timedelta(milliseconds=1)
"""The grain of windows: one ends so long before the next begins."""


class Bounds(NamedTuple):
    """First and last instant of a window."""

    start: datetime
    end: datetime


class OpenWindow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A window with the conditions that were met in it, by their keys."""

    start: datetime
    end: datetime
    met: dict[str, bool] = {}
    fired: bool = False

    def is_open(self, now: datetime) -> bool:
        """Tell whether an instant lies within the window."""
        return self.start <= now <= self.end

    def with_met(self, results: Mapping[str, bool]) -> OpenWindow:
        """Return the window in which these conditions are met too; what was met stays met."""
        met = {**self.met, **{key: True for key, value in results.items() if value}}
        return msgspec.structs.replace(self, met=met)


def window_at(known: OpenWindow | None, rule: TimeWindow | Window | None, now: datetime) -> OpenWindow:
    """Return the window that is open: the one that is known, or else a new one. `now` is in the local zone."""
    if known is not None and known.is_open(now):
        return known
    bounds = bounds_of(rule, now)
    return OpenWindow(start=bounds.start, end=bounds.end)


def bounds_of(rule: TimeWindow | Window | None, now: datetime) -> Bounds:
    """Return the bounds of the window that is open at a local time; without a rule it is the day."""
    match rule:
        case None:
            return _every(DAY, timedelta(), now)
        case TimeWindow():
            return _first_generation(rule, now)
        case Window(timezone=None):
            return _second_generation(rule, now)
        case Window():
            found = _second_generation(rule, now.astimezone(find_zone(rule.timezone or "UTC")))
            return Bounds(found.start.astimezone(UTC), found.end.astimezone(UTC))


def time_window_of(condition: MultipleCondition) -> TimeWindow:
    """Return the window of a multiple condition, whose older properties stand for one."""
    if condition.time_window is not None:
        return condition.time_window
    return TimeWindow(window=condition.window, window_advance=condition.window_advance)


def _first_generation(rule: TimeWindow, now: datetime) -> Bounds:
    match rule.type:
        case TimeWindowType.SLIDING_WINDOW:
            return _from_now(rule.window or DAY, now)
        case TimeWindowType.DAILY_TIME_WINDOW:
            assert rule.start_time is not None
            assert rule.end_time is not None
            return _between(rule.start_time, rule.end_time, now)
        case TimeWindowType.DAILY_TIME_DEADLINE:
            assert rule.deadline is not None
            return _between(time.min, rule.deadline, now)
        case TimeWindowType.DURATION_WINDOW:
            return _every(rule.window or DAY, rule.window_advance or timedelta(), now)


def _second_generation(rule: Window, now: datetime) -> Bounds:
    if rule.deadline is not None:
        return _between(time.min, rule.deadline, now)
    if rule.from_ is not None and rule.to is not None:
        return _between(rule.from_, rule.to, now)
    if rule.lookback is not None:
        return _from_now(rule.lookback, now)
    return _every(rule.every or DAY, rule.offset or timedelta(), now)


def _every(length: timedelta, shift: timedelta, now: datetime) -> Bounds:
    """
    Windows that follow one another from midnight on, all shifted; the one that holds `now`.

    A shift of a whole length or more moves it so many lengths away, as in Kestra: nothing that happens is met in it.
    """
    length = min(max(length, _MILLISECOND), LENGTH_MAX)
    shift = min(max(shift, -LENGTH_MAX), LENGTH_MAX)
    away = length * int(shift / length)
    shifted = now - (shift - away)
    midnight = shifted.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = midnight if length >= DAY else midnight + length * ((shifted - midnight) // length)
    return Bounds(begin + shift, begin + shift + length - _MILLISECOND)


def _from_now(length: timedelta, now: datetime) -> Bounds:
    return Bounds(now, later(now, length))


def _between(begin: time, end: time, now: datetime) -> Bounds:
    return Bounds(_today(now, begin), _today(now, end))


def _today(now: datetime, at: time) -> datetime:
    """Return a time of the day, in the zone of `now` or, when it has an offset, in that."""
    if at.tzinfo is None:
        return datetime.combine(now.date(), at, tzinfo=now.tzinfo)
    return datetime.combine(now.astimezone(at.tzinfo).date(), at).astimezone(now.tzinfo)
