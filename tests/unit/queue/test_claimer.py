"""How many jobs a worker lets itself be sent, and which it gives back."""

from __future__ import annotations

from tests.contract.samples import job
from tiercel.messages.worker_job import TaskJob, WorkerJob
from tiercel.queue.kafka.claimer import AHEAD_MAX, AHEAD_S, Claimer

SLOTS = 8


def made() -> Claimer:
    return Claimer("w", ("default",))


def jobs(count: int) -> list[WorkerJob]:
    return [job("a", seq).job for seq in range(count)]


def work_off(claimer: Claimer, turns: int, every_s: float, begin: float = 0.0) -> float:
    """Let all slots take a job at a time, which ends before the next turn; return when the last turn was."""
    now = begin
    for _ in range(turns):
        for one in jobs(SLOTS):
            claimer.take(one, now)
        assert SLOTS == len(claimer.claim(SLOTS, now))
        now += every_s
    return now - every_s


def test_a_worker_that_has_ended_nothing_grants_its_slots() -> None:
    """Nothing is known of its tasks."""
    claimer = made()

    assert [] == claimer.claim(SLOTS, 0.0)

    assert (SLOTS, 0) == (claimer.granted, claimer.ahead)
    assert claimer.is_urgent


def test_a_worker_of_short_tasks_asks_for_what_it_works_off_in_a_moment() -> None:
    """What it ended within the time that a job may wait, less its slots; never more than the bound."""
    claimer = made()
    work_off(claimer, turns=21, every_s=AHEAD_S / 10)

    assert 9 * SLOTS <= claimer.ahead <= 10 * SLOTS

    work_off(claimer, turns=1000, every_s=AHEAD_S / 1000, begin=100.0)

    assert AHEAD_MAX == claimer.ahead


def test_a_worker_of_long_tasks_asks_for_nothing_ahead() -> None:
    """Its slots end together, once in a while."""
    claimer = made()

    work_off(claimer, turns=5, every_s=2 * AHEAD_S)

    assert 0 == claimer.ahead


def test_what_waits_for_a_busy_worker_is_given_back() -> None:
    """Not before its time; and nothing more is asked for ahead."""
    claimer = made()
    now = work_off(claimer, turns=20, every_s=0.01)
    for one in jobs(SLOTS + 3):
        claimer.take(one, now)
    claimer.claim(SLOTS, now)  # these take long

    assert [] == claimer.overdue(now + AHEAD_S / 2)
    found = [one.seq for one in claimer.overdue(now + 2 * AHEAD_S) if isinstance(one, TaskJob)]

    assert [SLOTS, SLOTS + 1, SLOTS + 2] == found
    assert 0 == claimer.ahead
    assert claimer.is_empty


def test_what_a_slot_is_free_for_stays_with_the_worker() -> None:
    """It has said that it begins it at once."""
    claimer = made()
    claimer.claim(SLOTS, 0.0)
    for one in jobs(SLOTS + 1):
        claimer.take(one, 0.0)

    assert 1 == len(claimer.overdue(2 * AHEAD_S))
    assert SLOTS == len(claimer.claim(SLOTS, 2 * AHEAD_S))


def test_what_a_worker_will_soon_begin_stays_with_it() -> None:
    """It works off as many in the time that a job may wait."""
    claimer = made()
    now = work_off(claimer, turns=20, every_s=AHEAD_S / 10)
    lately = claimer.ahead + SLOTS
    for one in jobs(lately + 5):
        claimer.take(one, now - AHEAD_S)

    assert 5 == len(claimer.overdue(now))


def test_a_credit_waits_while_enough_is_told() -> None:
    """It is urgent when less than half of it is told."""
    claimer = made()
    claimer.claim(SLOTS, 0.0)
    claimer.credit()
    for number in range(SLOTS):
        claimer.take(jobs(1)[0], 0.0)
        claimer.claim(SLOTS, number)

        assert (number > 0) == claimer.is_news
        assert (number >= SLOTS / 2) == claimer.is_urgent


def test_a_worker_asks_in_advance_for_slots_that_will_be_free_soon() -> None:
    """Its next jobs are there when its tasks end, and it begins them without asking anybody."""
    claimer = made()
    work_off(claimer, turns=1, every_s=1.0)

    assert [] == claimer.claim(0, 0.8, soon=SLOTS)

    assert (SLOTS, SLOTS) == (claimer.granted, claimer.ahead)
    assert claimer.is_urgent

    claimer.credit()
    for one in jobs(SLOTS):
        claimer.take(one, 0.9)

    assert SLOTS - 1 == len(claimer.claim(SLOTS - 1, 1.0, soon=1))
    assert (2 * SLOTS - 1, 1) == (claimer.granted, claimer.ahead)
    assert not claimer.is_urgent
    assert not claimer.is_short


def test_a_job_that_was_asked_for_in_vain_is_handed_back() -> None:
    """The slot was not free after all; and no other job comes for it."""
    claimer = made()
    work_off(claimer, turns=1, every_s=1.0)
    claimer.claim(0, 0.8, soon=1)
    claimer.take(jobs(1)[0], 0.9)

    assert [] == claimer.overdue(0.9 + AHEAD_S / 2)
    assert 1 == len(claimer.overdue(1.0 + AHEAD_S))
    assert 0 == claimer.ahead


def test_a_worker_whose_slots_end_one_by_one_once_a_second_asks_for_nothing_ahead() -> None:
    """Also when several of them end in the same moment, of which only the first is marked."""
    claimer, now = made(), 0.0
    for one in jobs(SLOTS):
        claimer.take(one, now)
    claimer.claim(SLOTS, now)
    asked = []

    for _ in range(5):
        now += 1.0
        for slot in range(SLOTS):
            claimer.take(jobs(1)[0], now)
            claimer.claim(1, now + slot * 0.005)
            asked.append(claimer.ahead)

    assert [0] * len(asked) == asked
