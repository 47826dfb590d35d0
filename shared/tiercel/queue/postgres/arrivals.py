"""
Messages that come with the signals that tell of them, for a reader that has seen all that came before.

At rest a message is read by nobody: its row is written, and what the reader would ask for is in the signal already. A
reader may take it from there only while it knows that nothing older waits in its partitions, or for its lanes. That
holds from a read that returned everything, for as long as every signal brings what it tells of; the first that does not
(too large, too many, lost, one of our own) ends it, and the table is read again.
"""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from tiercel.messages.topics import EXECUTION_EVENT, WORKER_JOB
from tiercel.runtime.postgres.signal import CARGO

CARRIED: Final = frozenset({EXECUTION_EVENT.name, WORKER_JOB.name})
"""Topics whose messages travel with their signals: those that somebody waits for."""
COUNT_MAX: Final = 8
SIZE_MAX: Final = 7000
"""What one signal carries at most, in messages and in bytes; a NOTIFY has room for 8,000."""
WAITING_MAX: Final = 256
"""Messages that wait for a reader who is busy: it reads the table when there are more."""
FRESH_S: Final = 1.0
"""How often the table is read at least: a sender may have died between its commit and the signal of it."""
DELIVERED_MAX: Final = 4096
"""Numbers of messages that are remembered: a signal may arrive after its message was read from the table."""

_EXTRA: Final = 40
"""Bytes of numbers and separators of one message."""
_FIELD: Final = "\x1f"
_ROW: Final = "\x1e"
"""Separators of what signals carry. A key that has one of them makes its signal unreadable, and the table is read."""


class EventRow(NamedTuple):
    """A message of a KEYED topic."""

    place: int
    """Its partition."""
    id: int
    key: str
    level: int
    body: bytes


class JobRow(NamedTuple):
    """A job."""

    place: str
    """Its lane."""
    id: int
    rank: int
    level: int
    body: bytes


Row = EventRow | JobRow


def head(payload: str, earlier: Iterable[str]) -> str:
    """Return how a signal begins that carries something: with what it says besides, and what was sent earlier."""
    return payload + CARGO + "".join(row + _ROW for row in earlier)


def fits(head: str, keys: Sequence[str], bodies: Sequence[bytes]) -> bool:
    """Tell whether a signal can carry these messages behind a head."""
    if len(bodies) > COUNT_MAX:
        return False
    # Base64 writes four characters for three bytes, in lines of 76.
    pairs = zip(keys, bodies, strict=True)
    return len(head) + sum(len(key) * 2 + len(body) * 7 // 5 + _EXTRA for key, body in pairs) < SIZE_MAX


def written(row: EventRow) -> str:
    """Return a message as signals carry it; the statement `send_carried` writes the same."""
    text = binascii.b2a_base64(row.body, newline=False).decode()
    return _FIELD.join((str(row.place), str(row.id), row.key, str(row.level), text))


def readable(topic: str, text: str) -> list[Row] | None:
    """Return what a signal has brought, None if it cannot be read."""
    rows: list[Row] = []
    try:
        for row in text.split(_ROW):
            place, number, about, level, body = row.split(_FIELD)
            if topic == WORKER_JOB.name:
                rows.append(JobRow(place, int(number), int(about), int(level), binascii.a2b_base64(body)))
            else:
                rows.append(EventRow(int(place), int(number), about, int(level), binascii.a2b_base64(body)))
    except ValueError:
        return None
    return rows


class _Line:
    """What one reader of one topic knows."""

    __slots__ = ("delivered", "is_reading", "known", "read_at", "unfinished", "waiting")

    def __init__(self) -> None:
        self.known: frozenset[Any] = frozenset()
        """Partitions, or lanes, in which nothing waits but what is here."""
        self.waiting: list[Any] = []
        self.is_reading = False
        self.read_at = 0.0
        self.unfinished: set[int] = set()
        """Messages that the reader has and whose end is not committed: they come before what is here."""
        self.delivered: dict[int, None] = {}

    def deliver(self, numbers: Iterable[int]) -> None:
        self.delivered.update(dict.fromkeys(numbers))
        while len(self.delivered) > DELIVERED_MAX:
            del self.delivered[next(iter(self.delivered))]


class Arrivals:
    """What has come with signals, by topic; each topic has at most one reader in a process. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines = {name: _Line() for name in CARRIED}

    def brought(self, topic: str, rows: Sequence[Row]) -> None:
        """A signal has brought all that it tells of."""
        line = self._lines.get(topic)
        if line is None or not (line.known or line.is_reading):
            return
        line.waiting += rows
        if len(line.waiting) > WAITING_MAX:
            self.missed(topic)

    def missed(self, topic: str) -> None:
        """Something waits in the table of which only this is known."""
        line = self._lines.get(topic)
        if line is not None:
            line.known, line.is_reading, line.waiting = frozenset(), False, []

    def missed_everything(self) -> None:
        """Signals may have been lost."""
        for topic in self._lines:
            self.missed(topic)

    def events(self, topic: str, partitions: Collection[int], level: int) -> list[EventRow] | None:
        """Return the messages that wait in these partitions, oldest first; None when the table must be asked."""
        rows: list[EventRow] | None = self._taken(topic, partitions, level)
        if rows is not None:
            self._lines[topic].unfinished = {row.id for row in rows}
            rows.sort(key=lambda row: row.id)
        return rows

    def jobs(self, lanes: Collection[str], count: int, level: int) -> list[JobRow] | None:
        """Return the jobs that wait for these lanes, in their order; None when the table must be asked."""
        rows: list[JobRow] | None = self._taken(WORKER_JOB.name, lanes, level)
        if rows is None or len(rows) > count:
            return None
        return sorted(rows, key=lambda row: (row.rank, row.id))

    def _taken(self, topic: str, places: Collection[int] | Collection[str], level: int) -> list[Any] | None:
        line = self._lines.get(topic)
        if line is None or not line.waiting or line.unfinished or self._clock() - line.read_at > FRESH_S:
            return None
        wanted = frozenset(places)
        if not wanted <= line.known:
            return None
        rows = [row for row in line.waiting if row.place in wanted and row.id not in line.delivered]
        line.known, line.waiting = wanted, []
        if not rows or any(row.level > level for row in rows):
            return None
        line.deliver(row.id for row in rows)
        return rows

    def reading(self, topic: str) -> None:
        """The table is about to be read."""
        line = self._lines.get(topic)
        if line is not None:
            line.known, line.waiting, line.is_reading, line.read_at = frozenset(), [], True, self._clock()

    def have_read(self, topic: str, numbers: Collection[int], known: Iterable[int]) -> None:
        """These messages were in the table; `known` are the partitions in which there were no others."""
        if topic in self._lines:
            self._have_read(topic, numbers, known)
            self._lines[topic].unfinished = set(numbers)

    def have_claimed(self, numbers: Collection[int], known: Iterable[str]) -> None:
        """These jobs were taken from the table; `known` are the lanes for which there were no others."""
        self._have_read(WORKER_JOB.name, numbers, known)

    def _have_read(self, topic: str, numbers: Collection[int], known: Iterable[int] | Iterable[str]) -> None:
        line = self._lines[topic]
        if line.is_reading:  # no signal came meanwhile that brought nothing
            line.known, line.is_reading = frozenset(known), False
        line.deliver(numbers)

    def finished(self, topic: str, numbers: Iterable[int]) -> None:
        """These messages are acknowledged, by a transaction that has been committed."""
        line = self._lines.get(topic)
        if line is not None:
            line.unfinished.difference_update(numbers)
