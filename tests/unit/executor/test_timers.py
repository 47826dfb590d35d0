"""Timers in memory: near ones only, each once, in their order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tiercel.executor.timers import HORIZON, Timers
from tiercel.model.live import Timer, TimerKind

START = datetime(2026, 1, 1, tzinfo=UTC)


def timer(owner: str, seconds: float) -> Timer:
    return Timer(owner=owner, kind=TimerKind.RETRY, due=START + timedelta(seconds=seconds))


def test_timers_come_due_in_their_order() -> None:
    """Earliest first, and only those whose time has come."""
    timers = Timers()
    timers.add([timer("b", 2), timer("a", 1), timer("c", 50)], START)

    assert ["a", "b"] == [event.execution_id for event in timers.due(START + timedelta(seconds=3))]
    assert START + timedelta(seconds=50) == timers.next_due


def test_a_timer_that_is_read_twice_comes_due_once() -> None:
    """Near timers are read again and again from the store."""
    timers = Timers()
    timers.add([timer("a", 1)], START)
    timers.add([timer("a", 1)], START)

    assert 1 == len(timers.due(START + timedelta(seconds=3)))


def test_distant_timers_stay_in_the_store() -> None:
    """A million paused executions cost rows, not memory."""
    timers = Timers()
    timers.add([timer("a", HORIZON.total_seconds() + 1)], START)

    assert timers.next_due is None
