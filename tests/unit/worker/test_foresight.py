"""When a worker expects its slots to be free."""

from __future__ import annotations

import msgspec

from tiercel.messages.worker_job import TaskJob
from tiercel.worker.foresight import GRAIN_S, KINDS_MAX, LEAD_S, SHORT_S, Foresight

EXACT = GRAIN_S / 2


def job(task_id: str = "t") -> TaskJob:
    return TaskJob(
        tenant_id="main", namespace="ns", flow_id="f", flow_revision=1, execution_id="e", seq=1, attempt=1,
        task_id=task_id, task_run_id="r", definition=msgspec.Raw(b"\x80"), context={},
    )  # fmt: skip


def experienced(*seconds: float, task_id: str = "t", kinds_max: int = KINDS_MAX) -> Foresight:
    """Return what is known after runs of a kind that took so long."""
    foresight = Foresight(kinds_max)
    learn(foresight, *seconds, task_id=task_id)
    return foresight


def learn(foresight: Foresight, *seconds: float, task_id: str = "t") -> None:
    for each in seconds:
        foresight.began(0, job(task_id), 0.0)
        foresight.ended(0, each)


def test_nothing_is_foreseen_of_a_kind_that_has_never_ended() -> None:
    """Nobody knows how long it takes."""
    foresight = Foresight()
    foresight.began(1, job(), 0.0)

    assert 0 == foresight.soon(1.0)
    assert foresight.changes_in(1.0) is None


def test_runs_are_foreseen_a_moment_before_their_kind_has_ended_lately() -> None:
    """Not before, and of each run by itself; what changes when is told."""
    foresight = experienced(2.0, 2.1)
    foresight.began(1, job(), 10.0)
    foresight.began(2, job(), 11.0)

    changes_s = foresight.changes_in(10.0)
    assert changes_s is not None
    assert abs(changes_s - (2.1 - LEAD_S)) <= GRAIN_S

    assert 0 == foresight.soon(12.1 - LEAD_S - GRAIN_S - EXACT)
    assert 1 == foresight.soon(10.0 + changes_s)
    assert 1 == foresight.soon(12.1)
    assert 2 == foresight.soon(13.1 - LEAD_S) + foresight.soon(12.1)


def test_runs_that_end_close_together_are_foreseen_together() -> None:
    """One question for all of them."""
    foresight = experienced(1.0)
    for number in range(8):
        foresight.began(number, job(), 20.01 + number * GRAIN_S / 20)

    changes_s = foresight.changes_in(20.1)

    assert changes_s is not None
    assert 8 == foresight.soon(20.1 + changes_s)


def test_a_run_that_has_ended_is_foreseen_no_more() -> None:
    """Its slot is free."""
    foresight = experienced(1.0)
    foresight.began(1, job(), 0.0)
    foresight.began(2, job(), 0.0)

    foresight.ended(1, 0.9)

    assert 1 == foresight.soon(0.9)


def test_a_run_that_takes_longer_than_its_kind_is_foreseen_no_more() -> None:
    """Nobody knows when it will end; and that is told as a change."""
    foresight = experienced(1.0)
    foresight.began(1, job(), 0.0)

    changes_s = foresight.changes_in(1.0)

    assert 1 == foresight.soon(1.0)
    assert changes_s is not None
    assert 0 == foresight.soon(1.0 + changes_s)
    assert foresight.changes_in(1.0 + changes_s) is None


def test_nothing_is_foreseen_of_a_kind_whose_times_differ() -> None:
    """A job that is asked for too early waits in vain; what was long ago does not count for ever."""
    foresight = experienced(1.0, 3.0)
    foresight.began(1, job(), 0.0)

    assert [0, 0, 0] == [foresight.soon(now) for now in (1.0, 2.0, 3.0)]

    learn(foresight, *[2.0] * 10)
    foresight.began(2, job(), 10.0)

    assert 1 == foresight.soon(12.0)


def test_nothing_is_foreseen_of_short_runs() -> None:
    """A worker asks for as many of them as it ends."""
    foresight = experienced(SHORT_S / 2)
    foresight.began(1, job(), 0.0)

    assert 0 == foresight.soon(SHORT_S / 2)


def test_of_too_many_kinds_those_are_forgotten_that_ended_longest_ago() -> None:
    """What is remembered is bounded."""
    foresight = experienced(1.0, task_id="a", kinds_max=2)
    learn(foresight, 1.0, task_id="b")
    learn(foresight, 1.0, task_id="a")
    learn(foresight, 1.0, task_id="c")
    for number, task_id in enumerate("abc"):
        foresight.began(number, job(task_id), 10.0)

    assert 2 == foresight.soon(11.0)

    foresight.ended(1, 11.0)

    assert 2 == foresight.soon(11.0)
