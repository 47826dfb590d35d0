"""Who lives: nobody is judged by one that was away itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tiercel.executor.core.facts import Lanes
from tiercel.executor.liveness import Liveness

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def connected(until: float) -> Liveness:
    """A judge that has been listening all the time."""
    liveness = Liveness(30, START)
    for second in range(0, int(until), 3):
        liveness.contact(after(second))
    return liveness


def test_all_lanes_are_known_at_once_where_all_workers_are_in_one_process() -> None:
    """Among many, who was not heard yet may be there all the same for a while; alone, who was heard is everybody."""
    among_many, alone = Liveness(30, START), Liveness(30, START, is_alone=True)
    for liveness in (among_many, alone):
        liveness.hear("w", after(1), ("default",))

    default = frozenset({"default"})
    assert Lanes(default, is_whole=False) == among_many.served(after(2))
    assert Lanes(default, is_whole=True) == among_many.served(after(10))
    assert Lanes(default, is_whole=True) == alone.served(after(2))
    assert Lanes(frozenset(), is_whole=False) == Liveness(30, START, is_alone=True).served(after(2))


def test_a_silent_worker_is_lost_after_the_timeout() -> None:
    """30 seconds without a heartbeat, while the judge was connected."""
    liveness = connected(60)
    liveness.hear("w", after(20))

    assert [] == liveness.lost(["w"], after(49))
    assert ["w"] == liveness.lost(["w"], after(51))


def test_a_worker_that_is_heard_is_not_lost() -> None:
    """A heartbeat counts from when it is heard."""
    liveness = connected(60)
    liveness.hear("w", after(55))

    assert [] == liveness.lost(["w"], after(60))


def test_a_judge_that_was_away_judges_nobody_for_as_long() -> None:
    """An outage makes every worker look silent; it must not make them lost."""
    liveness = connected(30)
    liveness.hear("w", after(27))
    liveness.contact(after(90))

    assert [] == liveness.lost(["w"], after(100))


def test_a_worker_that_was_never_heard_is_lost_after_the_timeout() -> None:
    """It held something before this executor started, and says nothing."""
    assert ["w"] == connected(60).lost(["w"], after(59))


def test_workers_that_have_left_are_forgotten_in_the_end() -> None:
    """Pods come and go under new names; what is known of them must not grow for ever, nor change who is lost."""
    liveness = connected(10_000)
    for number in range(1000):
        liveness.hear(f"w{number}", after(10 * number))

    assert 100 > len(liveness._heard)
    assert ["w0"] == liveness.lost(["w0", "w999"], after(10_000))


def test_a_judge_that_was_away_for_long_forgets_nobody_to_their_harm() -> None:
    """The first that it hears again makes it forget the others; these are not lost before they could be heard."""
    liveness = connected(30)
    liveness.hear("w", after(27))
    liveness.contact(after(1000))
    liveness.hear("new", after(1000))

    assert [] == liveness.lost(["w"], after(1029))
