"""
What was read of a KEYED partition and is not acknowledged yet.

Messages stay here until the transaction that acknowledges them has moved the partition's position. What came again is
dropped as it arrives: a message whose origin has sent one of the same or a higher sequence here before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tiercel.errors import InternalError
from tiercel.messages import codec
from tiercel.messages.topics import Topic
from tiercel.queue.base import Delivery
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.consumer import Read
from tiercel.queue.kafka.envelope import Envelope, unpack

COUNT_MAX: Final = 5_000
SIZE_MAX: Final = 16 << 20
"""Messages and bytes that are read ahead of a partition; beyond this it is paused."""


class Entry(msgspec.Struct):
    """A message that waits; what it says is read when somebody asks."""

    offset: int
    time_ms: int
    origin: str
    seq: int
    level: int
    key: str
    body: bytes
    error: str | None = None
    delivery: Delivery[Any] | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an acknowledgement moves a partition, and the highest sequences that come with it."""

    partition: int
    was: int
    next: int
    count: int
    seen: Mapping[str, int]


class Backlog:
    """One partition, as its owner reads it."""

    def __init__(
        self,
        topic: Topic[Any],
        partition: int,
        position: int,
        seen: dict[str, int],
        arrived: Callable[[Backlog, bool], None],
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.position = position
        """Where the database says that reading goes on."""
        self.read_at = 0.0
        """When somebody asked for it last."""
        self.paused = False
        self._passed = position
        self._last = seen
        self._entries: deque[Entry] = deque()
        self._size = 0
        self._arrived = arrived

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def is_full(self) -> bool:
        """True when nothing more should be read ahead."""
        return len(self._entries) > COUNT_MAX or self._size > SIZE_MAX

    @property
    def has_room(self) -> bool:
        """True when reading ahead may go on."""
        return len(self._entries) < COUNT_MAX // 2 and self._size < SIZE_MAX // 2

    @property
    def passed(self) -> int | None:
        """The position to which nothing but repetitions was read, None when there is nothing to pass over."""
        return self._passed if not self._entries and self._passed > self.position else None

    def take(self, found: Sequence[Read]) -> None:
        """Take what was read, in order; what came again is dropped."""
        repeated = 0
        is_eager = False
        for read in found:
            self._passed = read.offset + 1
            entry = _entry(read)
            if entry.origin:
                if entry.seq <= self._last.get(entry.origin, 0):
                    repeated += 1
                    continue
                self._last[entry.origin] = entry.seq
            is_eager = is_eager or not read.is_patient
            self._entries.append(entry)
            self._size += len(entry.body)
        if repeated:
            metrics.REPEATED.labels(self.topic.name).inc(repeated)
        if repeated < len(found):
            self._arrived(self, is_eager)

    def delivery(self, entry: Entry) -> Delivery[Any]:
        """Return an entry as its reader sees it."""
        if entry.delivery is None:
            message, error = None, entry.error
            if error is None:
                try:
                    message = codec.decode(self.topic, entry.body, entry.level)
                except codec.Undecodable as failure:
                    error = str(failure)
            entry.delivery = Delivery(
                id=entry.offset, partition=self.partition, key=entry.key, message=message, body=entry.body, error=error
            )
        return entry.delivery

    def progress(self, deliveries: Sequence[Delivery[Any]]) -> Progress:
        """Return what acknowledging these, which must be the oldest, comes to."""
        seen: dict[str, int] = {}
        last = max(delivery.id for delivery in deliveries)
        count = 0
        for entry in self._entries:
            if entry.offset > last:
                break
            count += 1
            if entry.origin:
                seen[entry.origin] = entry.seq
        if count != len(deliveries):
            raise InternalError(
                f"{len(deliveries)} messages of partition {self.partition} of '{self.topic.name}' are acknowledged, "
                f"which are not its {count} oldest."
            )
        return Progress(partition=self.partition, was=self.position, next=last + 1, count=count, seen=seen)

    def advance(self, progress: Progress) -> None:
        """Follow the database, which has moved the position."""
        self.position = progress.next
        for _ in range(progress.count):
            self._size -= len(self._entries.popleft().body)

    def pass_over(self, position: int) -> None:
        """Follow the database over what came again."""
        self.position = position


def _entry(read: Read) -> Entry:
    try:
        envelope: Envelope = unpack(read.value)
    except InternalError as error:
        return Entry(read.offset, read.time_ms, "", 0, 1, read.key, read.value, str(error))
    return Entry(read.offset, read.time_ms, envelope.origin, envelope.seq, envelope.level, read.key, envelope.body)
