"""Concurrency scopes: who gets a slot, who waits, who is next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tiercel.executor.core.scopes import decide
from tiercel.messages.execution_event import (
    QuotaLimit,
    QuotaRequested,
    SlotGranted,
    SlotRefused,
    SlotReleased,
    SlotRequested,
    SlotsCounted,
)
from tiercel.statestore.base import Scope

AT = datetime(2026, 1, 1, tzinfo=UTC)


def request(holder: str, limit: int = 1, behavior: str = "QUEUE") -> SlotRequested:
    return SlotRequested(execution_id="scope", at=AT, holder=holder, limit=limit, behavior=behavior)


def release(holder: str) -> SlotReleased:
    return SlotReleased(execution_id="scope", at=AT, holder=holder)


def test_a_free_slot_is_granted() -> None:
    """The first to ask gets it."""
    scope, [answer] = decide(Scope(id="scope"), request("a"))

    assert ("a",) == scope.holders
    assert isinstance(answer.message, SlotGranted)


def test_who_comes_too_late_waits_and_is_next() -> None:
    """A release hands the slot to the first in line."""
    scope, _ = decide(Scope(id="scope"), request("a"))
    scope, [refused] = decide(scope, request("b"))
    assert isinstance(refused.message, SlotRefused)

    scope, [granted] = decide(scope, release("a"))

    assert ("b",) == scope.holders
    assert "b" == granted.key


def test_cancel_and_fail_do_not_wait() -> None:
    """Only QUEUE stands in line."""
    scope, _ = decide(Scope(id="scope"), request("a", behavior="FAIL"))
    scope, _ = decide(scope, request("b", behavior="FAIL"))

    assert () == scope.waiting


def test_a_repeated_release_changes_nothing() -> None:
    """Messages may come twice."""
    scope, _ = decide(Scope(id="scope"), request("a"))
    scope, _ = decide(scope, release("a"))

    assert (scope, []) == decide(scope, release("a"))


@given(events=st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), max_size=60), limit=st.integers(1, 4))
def test_never_more_holders_than_the_limit_and_nobody_is_forgotten(events: list[tuple[bool, str]], limit: int) -> None:
    """Whatever the order of requests and releases, slots are never overbooked and free ones are never left idle."""
    scope = Scope(id="scope")
    for asks, holder in events:
        scope, _ = decide(scope, request(holder, limit) if asks else release(holder))

        assert len(scope.holders) <= limit
        assert len(set(scope.holders) | set(scope.waiting)) == len(scope.holders) + len(scope.waiting)
        assert not scope.waiting or len(scope.holders) == scope.limit


def test_slots_that_a_person_counts_are_taken_by_nobody() -> None:
    """What no execution holds is reserved; when it is counted again the line moves up."""
    scope, _ = decide(Scope(id="scope"), request("a", limit=2))
    scope, [] = decide(scope, SlotsCounted(execution_id="scope", at=AT, running=2, limit=2))
    assert 1 == scope.reserved

    scope, [refused] = decide(scope, request("b", limit=2))
    assert isinstance(refused.message, SlotRefused)
    scope, [] = decide(scope, SlotsCounted(execution_id="scope", at=AT, running=3, limit=2))
    scope, [] = decide(scope, release("a"))  # two are reserved, of two
    scope, [granted] = decide(scope, SlotsCounted(execution_id="scope", at=AT, running=0, limit=2))

    assert ("b",) == scope.holders
    assert isinstance(granted.message, SlotGranted)


def _asked(holder: str, at: datetime, *quotas: QuotaLimit) -> QuotaRequested:
    return QuotaRequested(execution_id="quota", at=at, holder=holder, quotas=quotas)


def test_a_quota_is_full_until_its_window_ends() -> None:
    """Windows are aligned to UTC; the answer says what becomes of the execution, and why."""
    hourly = QuotaLimit(seconds=3600, limit=2, behavior="CANCEL")
    at = AT + timedelta(minutes=59)
    scope, [first] = decide(Scope(id="quota"), _asked("a", at, hourly))
    scope, [second] = decide(scope, _asked("b", at, hourly))
    scope, [third] = decide(scope, _asked("c", at, hourly))
    _, [fourth] = decide(scope, _asked("d", at + timedelta(minutes=1), hourly))

    answers = [answer.message.behavior for answer in (first, second, third, fourth)]
    assert [None, None, "CANCEL", None] == answers
    assert "2 times per PT1H" in third.message.reason


def test_an_execution_that_one_quota_refuses_is_counted_by_none() -> None:
    """The other quota has still room for as many as before."""
    day = QuotaLimit(seconds=86_400, limit=2, behavior="FAIL")
    minute = QuotaLimit(seconds=60, limit=1, behavior="CANCEL")
    scope, _ = decide(Scope(id="quota"), _asked("a", AT, day, minute))
    scope, [refused] = decide(scope, _asked("b", AT, day, minute))
    _, [later] = decide(scope, _asked("c", AT + timedelta(minutes=1), day, minute))

    assert "CANCEL" == refused.message.behavior
    assert later.message.behavior is None
