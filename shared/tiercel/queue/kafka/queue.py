"""The queue on Kafka: topics for messages, a table for waiting jobs, one origin for what a process sends by itself."""

from __future__ import annotations

import heapq
import time
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import psycopg

from tiercel.errors import InternalError
from tiercel.messages.topics import WORKER_JOB, Topic
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue import metrics
from tiercel.queue.base import Ahead, Delivery, Lease, Outgoing, TopicDepth
from tiercel.queue.kafka.backlog import Backlog, Entry
from tiercel.queue.kafka.depth import Depths
from tiercel.queue.kafka.handout import Handout
from tiercel.queue.kafka.hub import Hub
from tiercel.queue.kafka.inbox import Inbox
from tiercel.queue.kafka.link import KafkaLink
from tiercel.queue.kafka.mail import KafkaMail
from tiercel.queue.kafka.outbox import Outbox
from tiercel.queue.kafka.shelf import Shelf
from tiercel.queue.postgres import claim
from tiercel.queue.postgres.fence import fence_columns
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import LEASE_LOST, STALE
from tiercel.queue.postgres.sending import SQL as QUEUE_SQL
from tiercel.queue.wakeup import Wakeups
from tiercel.runtime.clock import Clock, SystemClock
from tiercel.runtime.postgres.batch import Batch

M = TypeVar("M")

HUB_SINCE_S: Final = 5.0
"""A dispatcher begins with what workers have said in these seconds: each says it every three."""


class Desk:
    """What a process with a database has of the queue: positions, outbox, waiting line, dead letters."""

    def __init__(self, node: PostgresNode, link: KafkaLink, service: str, clock: Clock | None = None) -> None:
        self.node = node
        self.handout: Handout | None = None
        """What a process that may dispatch knows of workers."""
        self._clock = clock or SystemClock()
        self.outbox = Outbox(node.pool, link, service)
        self.shelf = Shelf(node.pool, link, self.outbox)
        self.depths = Depths(node, link)

    def mail(self) -> KafkaMail:
        """Return what a transaction of the state store takes from the queue and gives to it."""
        return KafkaMail(self.node, self.shelf, self.outbox, self.handout, self._clock)

    async def close(self) -> None:
        """Forget what is confirmed; before the database and the link are closed."""
        await self.shelf.close()
        await self.outbox.close()
        await self.depths.close()


class KafkaQueue:
    """Moves messages between processes through topics."""

    def __init__(self, link: KafkaLink, wakeups: Wakeups | None, desk: Desk | None, clock: Clock | None = None) -> None:
        self._link = link
        self._desk_or_none = desk
        self._wakeups = wakeups
        self._hubs: dict[str, Hub] = {}
        self._clock = clock or SystemClock()
        self._inbox = Inbox(link, self._clock)

    @property
    def partitions(self) -> int:
        """Number of partitions of KEYED topics."""
        return self._link.layout.partitions

    @property
    def _desk(self) -> Desk:
        if self._desk_or_none is None:
            raise InternalError("This process has no database: it sends, claims and hears, and reads no KEYED topic.")
        return self._desk_or_none

    async def emit(self, *messages: Outgoing) -> None:
        """Send messages; all replicas have them when this returns."""
        if messages:
            await self._link.emit(messages)

    async def read(
        self, topic: Topic[M], partitions: Sequence[int], *, count: int, size: int = 8 << 20
    ) -> list[Delivery[M]]:
        """Return the oldest messages of these partitions that have arrived."""
        if not partitions:
            return []
        self._link.require_contact()
        began = time.perf_counter()
        lines: list[list[tuple[Backlog, Entry]]] = []
        for backlog in await self._desk.shelf.backlogs(topic, partitions):
            line = list(islice(backlog, count))
            newer = next((number for number, entry in enumerate(line) if entry.level > topic.level), None)
            if newer is not None:
                await self._desk.node.leave_to_newer(topic, backlog.partition, line[newer].level)
            lines.append([(backlog, entry) for entry in line[:newer]])
        found: list[Delivery[M]] = []
        for backlog, entry in heapq.merge(*lines, key=_sent_at):
            if size <= 0:
                break
            size -= len(entry.body)
            found.append(backlog.delivery(entry))
        metrics.received(topic.name, len(found), time.perf_counter() - began)
        return found

    async def acknowledge(
        self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]], leases: Sequence[Lease]
    ) -> bool:
        """Move the positions over messages, which are the oldest of their partitions, if the leases hold."""
        desk = self._desk
        plan = desk.shelf.plan(topic, deliveries) if deliveries else []
        if plan is None:
            return False
        batch = Batch([(QUEUE_SQL["fence"], fence_columns(leases)), *desk.shelf.statements(topic, plan)])
        try:
            async with desk.node.pool.connection() as connection:
                try:
                    await batch.run(connection)
                except psycopg.Error as error:
                    if error.sqlstate in (LEASE_LOST, STALE):
                        desk.shelf.drop(topic, {delivery.partition for delivery in deliveries})
                        return False
                    raise
        except BaseException:  # cancelled too: where reading goes on must be looked up
            desk.shelf.drop(topic, {delivery.partition for delivery in deliveries})
            raise
        desk.shelf.committed(topic, plan)
        return True

    async def bury(self, topic: Topic[Any], delivery: Delivery[Any], reason: str) -> None:
        """Copy a message to the dead letters."""
        letter = (delivery.key, reason, delivery.body)
        await self._desk.node.pool.run(QUEUE_SQL["bury"], claim.letters(topic, [letter]))

    @property
    def sends_jobs(self) -> bool:
        """True: into the worker's inbox."""
        return True

    async def claim(
        self, worker: str, lanes: Sequence[str], count: int, ahead: Ahead | None = None, soon: int = 0
    ) -> list[WorkerJob]:
        """Take jobs that were sent to the worker and are its own, and let more of them be sent."""
        began = time.perf_counter()
        found = await self._inbox.claim(worker, lanes, count, soon)
        metrics.received(WORKER_JOB.name, len(found), time.perf_counter() - began)
        return found

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """Let no more jobs be sent, and return those that were not claimed."""
        return await self._inbox.withdraw(worker)

    def hand_out(self, handout: Handout) -> None:
        """Share the jobs of this process's own transactions out at once, while it is the one that dispatches."""
        self._desk.handout = handout

    def subscribe(self, topic: Topic[M]) -> AsyncIterator[M]:
        """Yield what is sent from now on."""
        return self.hub(topic).subscribe()

    def hub(self, topic: Topic[Any], since_s: float = 0.0) -> Hub:
        """Return the reader of a BROADCAST topic in this process."""
        found = self._hubs.get(topic.name)
        if found is None:
            found = self._hubs[topic.name] = Hub(self._link, topic, since_s)
        return found

    async def wait(self, topic: Topic[Any], timeout: float, *, partitions: Sequence[int] | None = None) -> None:
        """Wait for something to arrive."""
        if self._wakeups is not None:
            await self._wakeups.wait(topic.name, timeout, partitions)
        else:
            await self._desk.node.wait(topic.name, timeout, partitions)

    def wake(self, topic: Topic[Any]) -> None:
        """Make waits on this topic return."""
        if self._wakeups is not None:
            self._wakeups.announce(topic.name)
        else:
            self._desk.node.announce({topic.name: None})

    async def depths(self) -> list[TopicDepth]:
        """Return the depth of every backlog."""
        return await self._desk.depths.all(self._clock.now())

    async def close(self) -> None:
        """Send what is under way and disconnect."""
        await self._inbox.close()
        await self._link.close()
        if self._desk_or_none is not None:
            await self._desk_or_none.node.close()


def _sent_at(found: tuple[Backlog, Entry]) -> int:
    return found[1].time_ms
