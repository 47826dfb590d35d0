"""When a dead child is started again."""

from __future__ import annotations

from tiercel.standalone import BACKOFF_FIRST_S, BACKOFF_MAX_S, STEADY_S, Child


def test_pauses_grow_up_to_a_bound() -> None:
    """A child that dies at once is not started in a tight loop."""
    child = Child("worker")
    pauses = []
    for _ in range(10):
        child.died(now=0.0)
        pauses.append(child.start_at)

    assert [BACKOFF_FIRST_S, 2 * BACKOFF_FIRST_S] == pauses[:2]
    assert BACKOFF_MAX_S == pauses[-1]


def test_a_child_knows_whom_it_follows() -> None:
    """The one whose end was seen, and no other."""
    child = Child("executor")
    first = child.lineage

    child.died(now=0.0)

    assert first.predecessor is None
    assert first.instance == child.lineage.predecessor
    assert first.instance != child.lineage.instance


def test_a_child_that_was_well_for_long_is_started_again_at_once() -> None:
    """Its earlier failures are forgotten."""
    child = Child("worker")
    child.died(now=0.0)
    child.died(now=0.0)

    child.started_at = 10.0
    child.died(now=10.0 + STEADY_S + 1)

    assert 10.0 + STEADY_S + 1 + BACKOFF_FIRST_S == child.start_at
