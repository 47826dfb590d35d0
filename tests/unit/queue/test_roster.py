"""Who is sent the next job."""

from __future__ import annotations

from tiercel.messages.worker_event import WorkerCredit
from tiercel.queue.kafka.roster import Roster

LANES = ("default",)


def heard(*credit: WorkerCredit) -> Roster:
    roster = Roster(lambda: 0.0)
    roster.begin({})
    for message in credit:
        roster.hear(message)
    return roster


def given(roster: Roster, count: int) -> list[str]:
    [group] = roster.groups()
    found = [group.next() for _ in range(min(count, group.free))]
    roster.committed()
    return found


def test_jobs_go_ahead_only_when_no_worker_has_room() -> None:
    """Who stands idle comes first, however fast another one works."""
    roster = heard(
        WorkerCredit(worker="fast", lanes=LANES, granted=1, ahead=100),
        WorkerCredit(worker="idle", lanes=LANES, granted=3),
    )

    assert ["idle", "idle", "fast", "idle"] == given(roster, 4)
    assert ["fast"] * 5 == given(roster, 5)
    assert 0 == roster.free
    assert 95 == roster.groups()[0].free


def test_ahead_is_shared_by_who_has_least() -> None:
    """Two workers of short tasks get as much."""
    roster = heard(
        WorkerCredit(worker="a", lanes=LANES, granted=0, ahead=5),
        WorkerCredit(worker="b", lanes=LANES, ahead=3, granted=0),
    )

    assert ["a", "b"] * 3 == given(roster, 6)
    assert ["a", "a"] == given(roster, 6)
    assert [] == roster.groups()


def test_a_worker_that_asks_for_less_ahead_gets_nothing_until_it_has_room() -> None:
    """What it was sent beyond its slots counts."""
    roster = heard(WorkerCredit(worker="a", lanes=LANES, granted=2, ahead=5))
    given(roster, 7)
    roster.hear(WorkerCredit(worker="a", lanes=LANES, granted=6))

    assert [] == roster.groups()

    assert roster.hear(WorkerCredit(worker="a", lanes=LANES, granted=8))
    assert ["a"] == given(roster, 6)
