"""Concurrency scopes: who gets a slot, who waits, who is next."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tiercel.executor.core.scopes import decide
from tiercel.messages.execution_event import SlotGranted, SlotRefused, SlotReleased, SlotRequested
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
