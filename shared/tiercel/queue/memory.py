"""
Queue, state store and leases in memory: one object on one event loop, so that a transaction is atomic by itself.

It keeps the promises of the ports as the database adapters do, and what it moves goes through the codec, so that a
test sees what a wire would carry. It serves tests and single-process runs; nothing survives the process.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from tiercel.messages import codec, topics
from tiercel.messages.topics import Route, Topic, partition_of
from tiercel.messages.worker_job import TaskJob, WorkerJob
from tiercel.queue.base import (
    READ_SIZE_MAX,
    Ahead,
    Delivery,
    Lease,
    Outgoing,
    OutgoingJob,
    TopicDepth,
    started_events,
)
from tiercel.queue.refusal import refusals
from tiercel.queue.wakeup import Wakeups
from tiercel.runtime.clock import Clock, SystemClock
from tiercel.statestore.base import LeaseLost, StaleState
from tiercel.statestore.memory import MemoryStateStore, MemoryUnit
from tiercel.statestore.memory_leases import MemoryLeases

M = TypeVar("M")
log = logging.getLogger(__name__)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    key: str
    level: int
    sent_at: datetime
    body: bytes


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    lane: str
    owner: str
    seq: int
    level: int
    sent_at: datetime
    body: bytes


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that nobody could work on."""

    at: datetime
    topic: str
    key: str
    reason: str
    body: bytes


class _Subscription(Generic[M]):
    """One subscriber's own line of messages, from the moment it subscribed until it is closed."""

    def __init__(self, topic: Topic[M], lines: list[_Subscription[Any]]) -> None:
        self.topic = topic
        self.line: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._lines = lines
        lines.append(self)

    def __aiter__(self) -> AsyncIterator[M]:
        return self

    async def __anext__(self) -> M:
        while (item := await self.line.get()) is not None:
            try:
                return codec.decode(self.topic, item[1], item[0])
            except codec.NewerLevel as error:
                log.warning("message left to newer instances: %s", error, extra={"action": "newer_level_skipped"})
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Hear nothing more."""
        if self in self._lines:
            self._lines.remove(self)
        self.line.put_nowait(None)


class MemoryQueue:
    """Moves messages inside a process."""

    def __init__(self, clock: Clock, wakeups: Wakeups, partitions: int, leases: MemoryLeases) -> None:
        self.clock = clock
        self._wakeups = wakeups
        self._partitions = partitions
        self._leases = leases
        self._numbers = itertools.count(1)
        self._keyed: dict[str, list[dict[int, _Stored]]] = {
            topic.name: [{} for _ in range(partitions)] for topic in topics.TOPICS if topic.route is Route.KEYED
        }
        self._jobs: dict[int, _Job] = {}
        self._lanes: dict[str, list[tuple[int, int]]] = {}
        self._subscriptions: list[_Subscription[Any]] = []
        self.dead_letters: list[DeadLetter] = []

    @property
    def partitions(self) -> int:
        """Number of partitions of KEYED topics."""
        return self._partitions

    async def emit(self, *messages: Outgoing) -> None:
        """Append messages."""
        self._append([(out, codec.encode(out.message)) for out in messages], ())

    def _append(self, messages: Iterable[tuple[Outgoing, bytes]], jobs: Iterable[tuple[OutgoingJob, bytes]]) -> None:
        now, touched = self.clock.now(), dict[str, set[int]]()
        for out, body in messages:
            topic = out.topic
            if topic.route is Route.KEYED:
                part = partition_of(out.key, self._partitions)
                number = next(self._numbers)
                self._keyed[topic.name][part][number] = _Stored(
                    id=number, key=out.key, level=topic.level, sent_at=now, body=body
                )
                touched.setdefault(topic.name, set()).add(part)
            else:
                for subscription in self._subscriptions:
                    if subscription.topic.name == topic.name:
                        subscription.line.put_nowait((topic.level, body))
        for sent, body in jobs:
            self._append_job(sent, body, now)
            touched.setdefault(topics.WORKER_JOB.name, set())
        for name, parts in touched.items():
            self._wakeups.announce(name, parts or None)

    def _append_job(self, sent: OutgoingJob, body: bytes, now: datetime) -> None:
        number, job = next(self._numbers), sent.job
        owner, seq = (job.execution_id, job.seq) if isinstance(job, TaskJob) else (job.trigger_uid, 0)
        self._jobs[number] = _Job(
            id=number, lane=sent.lane, owner=owner, seq=seq, level=topics.WORKER_JOB.level, sent_at=now, body=body
        )
        heapq.heappush(self._lanes.setdefault(sent.lane, []), (sent.rank, number))

    async def read(
        self, topic: Topic[M], partitions: Sequence[int], *, count: int, size: int = READ_SIZE_MAX
    ) -> list[Delivery[M]]:
        """Return the oldest messages of these partitions."""
        found: list[Delivery[M]] = []
        rows = [
            (stored, part)
            for part in partitions
            for stored in itertools.islice(self._keyed[topic.name][part].values(), count)
        ]
        blocked: set[int] = set()
        for stored, part in sorted(rows, key=lambda row: row[0].id):
            if size <= 0:
                break
            if part in blocked:
                continue
            if stored.level > topic.level:
                blocked.add(part)
                self._leases.require_level(topic.consumers, part, stored.level)
                continue
            size -= len(stored.body)
            found.append(_delivery(topic, stored, part))
        return found

    async def acknowledge(
        self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]], leases: Sequence[Lease]
    ) -> bool:
        """Remove messages, if the leases hold."""
        if not self._leases.holds(leases):
            return False
        for delivery in deliveries:
            self._keyed[topic.name][delivery.partition].pop(delivery.id, None)
        return True

    async def bury(self, topic: Topic[Any], delivery: Delivery[Any], reason: str) -> None:
        """Copy a message to the dead letters."""
        self._bury(topic.name, delivery.key, reason, delivery.body)

    def _bury(self, topic: str, key: str, reason: str, body: bytes) -> None:
        self.dead_letters.append(DeadLetter(at=self.clock.now(), topic=topic, key=key, reason=reason, body=body))

    @property
    def sends_jobs(self) -> bool:
        """False: they are taken."""
        return False

    async def claim(
        self, worker: str, lanes: Sequence[str], count: int, ahead: Ahead | None = None, soon: int = 0
    ) -> list[WorkerJob]:
        """Take jobs and tell that they are started; none is run ahead."""
        taken: list[tuple[str, int, int, _Job]] = []
        heads = [(self._lanes[lane][0], lane) for lane in lanes if self._lanes.get(lane)]
        heapq.heapify(heads)
        while heads and len(taken) < count:
            (rank, number), lane = heapq.heappop(heads)
            heapq.heappop(self._lanes[lane])
            if number in self._jobs:
                taken.append((lane, rank, number, self._jobs[number]))
            if self._lanes[lane]:
                heapq.heappush(heads, (self._lanes[lane][0], lane))
        claimed, events = self._decode_jobs(worker, [job for *_, job in taken])
        for *_, job in taken:
            del self._jobs[job.id]
        self._append([(out, codec.encode(out.message)) for out in events], ())
        return claimed

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """Return nothing: what was claimed was handed over."""
        return []

    def _decode_jobs(self, worker: str, jobs: Sequence[_Job]) -> tuple[list[WorkerJob], list[Outgoing]]:
        claimed: list[WorkerJob] = []
        events: list[Outgoing] = []
        for stored in jobs:
            try:
                claimed.append(codec.decode(topics.WORKER_JOB, stored.body, stored.level))
            except codec.Undecodable as error:
                self._bury(topics.WORKER_JOB.name, stored.owner, str(error), stored.body)
                events += refusals(stored.owner, stored.seq, str(error))
        return claimed, [*started_events(worker, claimed, self.clock.now()), *events]

    def _revoke(self, execution_id: str, seqs: Sequence[int]) -> None:
        for job in [job for job in self._jobs.values() if job.owner == execution_id]:
            if not seqs or job.seq in seqs:
                del self._jobs[job.id]

    def subscribe(self, topic: Topic[M]) -> AsyncIterator[M]:
        """Yield what is sent from now on."""
        return _Subscription(topic, self._subscriptions)

    async def wait(self, topic: Topic[Any], timeout: float, *, partitions: Sequence[int] | None = None) -> None:
        """Wait for something to be sent."""
        await self._wakeups.wait(topic.name, timeout, partitions)

    def wake(self, topic: Topic[Any]) -> None:
        """Make waits on this topic return."""
        self._wakeups.announce(topic.name)

    async def depths(self) -> list[TopicDepth]:
        """Return the depth of every backlog."""
        now = self.clock.now()
        waiting: dict[str, list[datetime]] = {
            name: [stored.sent_at for part in parts for stored in part.values()] for name, parts in self._keyed.items()
        }
        waiting[topics.WORKER_JOB.name] = [job.sent_at for job in self._jobs.values()]
        waiting["dead_letter"] = [letter.at for letter in self.dead_letters]
        return [
            TopicDepth(
                topic=name, messages=len(sent), oldest_s=max(0.0, (now - min(sent, default=now)).total_seconds())
            )
            for name, sent in waiting.items()
        ]

    async def close(self) -> None:
        """End all subscriptions."""
        for subscription in list(self._subscriptions):
            await subscription.aclose()


class MemoryBackend(MemoryQueue, MemoryStateStore, MemoryLeases):
    """Queue, StateStore and Leases in one object."""

    def __init__(self, clock: Clock | None = None, partitions: int = topics.PARTITIONS_DEFAULT) -> None:
        clock = clock or SystemClock()
        wakeups = Wakeups(clock.sleep)
        MemoryLeases.__init__(self, clock, wakeups, partitions)
        MemoryStateStore.__init__(self)
        MemoryQueue.__init__(self, clock, wakeups, partitions, self)

    def _commit(self, unit: MemoryUnit, leases: Sequence[Lease]) -> None:
        """Check everything, then do everything: no step in between can fail."""
        if not self.holds(leases):
            lost = ", ".join(f"{lease.service}/{lease.partition}" for lease in leases if not self.holds([lease]))
            raise LeaseLost(f"Another instance owns partition {lost} by now; nothing was saved.")
        for topic, deliveries in unit.acknowledged:
            for delivery in deliveries:
                if delivery.id not in self._keyed[topic.name][delivery.partition]:
                    raise StaleState(f"Message {delivery.id} of '{topic.name}' was acknowledged before; read again.")
        self._check_versions(unit)
        sent = [*unit.jobs, *(job for changes in unit.changes for job in changes.jobs)]
        messages = [(out, codec.encode(out.message)) for out in unit.messages]
        jobs = [(out, codec.encode(out.job)) for out in sent]

        for topic, deliveries in unit.acknowledged:
            for delivery in deliveries:
                self._keyed[topic.name][delivery.partition].pop(delivery.id, None)
        for changes in unit.changes:
            if changes.revoked is not None:
                self._revoke(changes.head.execution.id, changes.revoked)
        self._apply(unit, {lease.partition: lease.service for lease in leases})
        self._append(messages, jobs)


def _delivery(topic: Topic[M], stored: _Stored, part: int) -> Delivery[M]:
    try:
        message: M | None = codec.decode(topic, stored.body, stored.level)
        error = None
    except codec.Undecodable as failure:
        message, error = None, str(failure)
    return Delivery(id=stored.id, partition=part, key=stored.key, message=message, body=stored.body, error=error)
