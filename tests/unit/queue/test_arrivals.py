"""Messages that come with their signals are taken only while nothing older can wait in the table."""

from __future__ import annotations

import pytest

from tiercel.messages.topics import EXECUTION_EVENT, HISTORY, WORKER_JOB
from tiercel.queue.postgres import arrivals
from tiercel.queue.postgres.arrivals import Arrivals, EventRow, JobRow
from tiercel.runtime.postgres.signal import CARGO

EVENTS = EXECUTION_EVENT.name
JOBS = WORKER_JOB.name


def message(number: int, place: int = 0, level: int = 1) -> EventRow:
    return EventRow(place, number, "key", level, b"body")


def job(number: int, place: str = "default", rank: int = 0) -> JobRow:
    return JobRow(place, number, rank, 1, b"body")


class Seconds:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def known(seconds: Seconds) -> Arrivals:
    """A reader that knows that nothing waits."""
    found = Arrivals(seconds)
    for topic, places in ((EVENTS, (0, 1)), (JOBS, ("default", "fast"))):
        found.reading(topic)
        found.have_read(topic, [], places)
    return found


def test_what_has_come_is_taken_once_and_in_the_order_of_the_table(known: Arrivals) -> None:
    """Signals may arrive in another order than numbers were given."""
    known.brought(EVENTS, [message(8), message(7, place=1)])

    assert [message(7, place=1), message(8)] == known.events(EVENTS, (0, 1), 1)
    known.finished(EVENTS, [7, 8])
    assert known.events(EVENTS, (0, 1), 1) is None


def test_who_has_not_read_the_table_is_given_nothing() -> None:
    """Anything may wait there."""
    new = Arrivals()
    new.brought(EVENTS, [message(1)])

    assert new.events(EVENTS, (0,), 1) is None


def test_after_a_signal_that_brings_nothing_the_table_is_asked(known: Arrivals) -> None:
    """What it tells of may be older than what comes after it."""
    known.missed(EVENTS)
    known.brought(EVENTS, [message(2)])

    assert known.events(EVENTS, (0, 1), 1) is None


def test_after_a_gap_every_table_is_asked(known: Arrivals) -> None:
    """Signals may have been lost."""
    known.missed_everything()
    known.brought(EVENTS, [message(2)])
    known.brought(JOBS, [job(2)])

    assert known.events(EVENTS, (0, 1), 1) is None
    assert known.jobs(["default"], 5, 1) is None


def test_the_table_is_read_from_time_to_time(known: Arrivals, seconds: Seconds) -> None:
    """A sender that died right after its commit has told nobody."""
    seconds.now += arrivals.FRESH_S + 0.1
    known.brought(EVENTS, [message(2)])

    assert known.events(EVENTS, (0, 1), 1) is None


def test_what_is_not_finished_comes_before_what_has_come(known: Arrivals) -> None:
    """A batch that was refused is in the table still."""
    known.brought(EVENTS, [message(1)])
    known.events(EVENTS, (0, 1), 1)
    known.brought(EVENTS, [message(2)])

    assert known.events(EVENTS, (0, 1), 1) is None


def test_a_partition_that_was_not_read_is_asked_for(known: Arrivals) -> None:
    """It is new here, and its backlog is not known."""
    known.brought(EVENTS, [message(1)])

    assert known.events(EVENTS, (0, 1, 2), 1) is None


def test_messages_of_other_partitions_are_left_to_their_owners(known: Arrivals) -> None:
    """Signals reach every process."""
    known.brought(EVENTS, [message(1), message(2, place=9)])

    assert [message(1)] == known.events(EVENTS, (0, 1), 1)


def test_a_signal_that_comes_after_its_message_was_read_brings_nothing_new(known: Arrivals) -> None:
    """The table may be quicker."""
    known.reading(EVENTS)
    known.have_read(EVENTS, [5], (0, 1))
    known.finished(EVENTS, [5])
    known.brought(EVENTS, [message(5), message(6)])

    assert [message(6)] == known.events(EVENTS, (0, 1), 1)


def test_what_comes_while_the_table_is_read_is_kept(known: Arrivals) -> None:
    """The answer may be older."""
    known.reading(EVENTS)
    known.brought(EVENTS, [message(4)])
    known.have_read(EVENTS, [], (0, 1))

    assert [message(4)] == known.events(EVENTS, (0, 1), 1)


def test_a_read_that_a_bare_signal_overtook_tells_nothing(known: Arrivals) -> None:
    """What the signal tells of may not be in the answer."""
    known.reading(EVENTS)
    known.missed(EVENTS)
    known.have_read(EVENTS, [], (0, 1))
    known.brought(EVENTS, [message(4)])

    assert known.events(EVENTS, (0, 1), 1) is None


def test_a_message_of_a_newer_level_is_the_tables_affair(known: Arrivals) -> None:
    """Its partition is handed to another instance."""
    known.brought(EVENTS, [message(1), message(2, level=2)])

    assert known.events(EVENTS, (0, 1), 1) is None


def test_a_reader_that_is_far_behind_reads_the_table(known: Arrivals) -> None:
    """What waits here is bounded."""
    for number in range(arrivals.WAITING_MAX + 1):
        known.brought(EVENTS, [message(number)])

    assert known.events(EVENTS, (0, 1), 1) is None


def test_jobs_are_taken_by_rank_and_age(known: Arrivals) -> None:
    """As from the table."""
    known.brought(JOBS, [job(3), job(4, rank=-1), job(2), job(5, place="other")])

    assert [4, 2, 3] == [row.id for row in known.jobs(["default", "fast"], 5, 1) or ()]


def test_more_jobs_than_slots_are_left_in_the_table(known: Arrivals) -> None:
    """Which of them are taken is decided there."""
    known.brought(JOBS, [job(1), job(2)])

    assert known.jobs(["default"], 1, 1) is None


def test_other_topics_are_read_from_their_tables(known: Arrivals) -> None:
    """History is read in large batches."""
    known.brought(HISTORY.name, [message(1)])

    assert known.events(HISTORY.name, (0, 1), 1) is None


@pytest.mark.parametrize("body", [b"", b"\x00\x1e\x1f\x1d", bytes(range(256))])
def test_a_message_is_read_as_it_was_written(body: bytes) -> None:
    """Bodies are any bytes."""
    row = EventRow(3, 12, "tenant/flow ü", 2, body)

    _, _, cargo = (arrivals.head("3,5", [arrivals.written(row)]) + arrivals.written(row)).partition(CARGO)

    assert [row, row] == arrivals.readable(EVENTS, cargo)


@pytest.mark.parametrize(
    "text", ["", "1", "x\x1f2\x1fk\x1f1\x1fAAAA", "1\x1f2\x1fk\x1f1\x1fA", "1\x1f2\x1fk\x1fk\x1f1\x1fAAAA"]
)
def test_what_cannot_be_read_is_no_message(text: str) -> None:
    """The table is asked instead."""
    assert arrivals.readable(EVENTS, text) is None


def test_a_signal_carries_no_more_than_it_can() -> None:
    """The server refuses 8,000 bytes, in few messages or many."""
    assert arrivals.fits("", ["k"], [b"x" * 4000])
    assert not arrivals.fits("", ["k"], [b"x" * 6000])
    assert not arrivals.fits("h" * 7000, ["k"], [b"x"])
    assert not arrivals.fits("", ["k"] * 9, [b"x"] * 9)
