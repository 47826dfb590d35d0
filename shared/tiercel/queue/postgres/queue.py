"""The queue on PostgreSQL: KEYED topics are read without locks, jobs are claimed by deleting their rows."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, TypeVar

import psycopg

from tiercel.messages import codec, topics
from tiercel.messages.topics import Route, Topic
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue import metrics
from tiercel.queue.base import READ_SIZE_MAX, Ahead, Delivery, Lease, Outgoing, TopicDepth
from tiercel.queue.postgres.arrivals import EventRow
from tiercel.queue.postgres.claim import letters
from tiercel.queue.postgres.claimer import Claimer
from tiercel.queue.postgres.emitter import Emitter
from tiercel.queue.postgres.fence import fence_columns
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import LEASE_LOST, SQL, Sending, table_of
from tiercel.queue.postgres.subscription import PostgresSubscription
from tiercel.runtime.clock import Clock, SystemClock
from tiercel.runtime.postgres.array import int2s, int8s
from tiercel.runtime.postgres.batch import Batch
from tiercel.runtime.postgres.pool import PostgresPool

M = TypeVar("M")
log = logging.getLogger(__name__)
DEAD_LETTER: Final = "dead_letter"


class PostgresQueue:
    """Moves messages between processes through tables."""

    def __init__(self, node: PostgresNode, clock: Clock | None = None) -> None:
        self._node = node
        self._emitter = Emitter(node)
        self._claimer = Claimer(node, clock or SystemClock(), self.emit)

    @property
    def partitions(self) -> int:
        """Number of partitions of KEYED topics."""
        return self._node.partitions

    async def emit(self, *messages: Outgoing) -> None:
        """Append messages; calls that come at the same time share a transaction."""
        if not messages:
            return
        sending = Sending(self._node.partitions)
        sending.add(messages)
        await self._emitter.emit(sending)

    async def read(
        self, topic: Topic[M], partitions: Sequence[int], *, count: int, size: int = READ_SIZE_MAX
    ) -> list[Delivery[M]]:
        """Return the oldest messages of these partitions."""
        if not partitions:
            return []
        began = time.perf_counter()
        arrivals = self._node.arrivals
        rows = arrivals.events(topic.name, partitions, topic.level)
        if rows is None:
            arrivals.reading(topic.name)
            answer = await self._node.pool.fetch(
                SQL.of("read", table_of(topic)), {"parts": int2s(partitions), "count": count, "size": size}
            )
            rows = [EventRow(*row) for row in answer]
            newer = await self._left_to_newer(topic, rows)
            is_all = len(rows) < count and sum(len(row.body) for row in rows) < size
            rows = [row for row in rows if row.id < newer.get(row.place, row.id + 1)]
            arrivals.have_read(topic.name, [row.id for row in rows], set(partitions) - newer.keys() if is_all else ())
        found = [_delivery(topic, row) for row in rows]
        metrics.received(topic.name, len(found), time.perf_counter() - began)
        return found

    async def _left_to_newer(self, topic: Topic[Any], rows: Sequence[EventRow]) -> dict[int, int]:
        """Leave partitions to instances that know the level of a message in them; return them, with its number."""
        newer = {row.place: row for row in reversed(rows) if row.level > topic.level}
        for part, row in newer.items():
            await self._node.leave_to_newer(topic, part, row.level)
        return {part: row.id for part, row in newer.items()}

    async def acknowledge(
        self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]], leases: Sequence[Lease]
    ) -> bool:
        """Remove messages, if the leases hold."""
        columns = {
            "parts": int2s([delivery.partition for delivery in deliveries]),
            "ids": int8s([delivery.id for delivery in deliveries]),
        }
        batch = Batch([(SQL["fence"], fence_columns(leases)), (SQL.of("acknowledge", table_of(topic)), columns)])
        async with self._node.pool.connection() as connection:
            try:
                await batch.run(connection)
            except psycopg.Error as error:
                if error.sqlstate == LEASE_LOST:
                    return False
                raise
        return True

    async def bury(self, topic: Topic[Any], delivery: Delivery[Any], reason: str) -> None:
        """Copy a message to the dead letters."""
        await self._node.pool.run(SQL["bury"], letters(topic, [(delivery.key, reason, delivery.body)]))

    @property
    def sends_jobs(self) -> bool:
        """False: they are taken from where they wait."""
        return False

    async def claim(
        self, worker: str, lanes: Sequence[str], count: int, ahead: Ahead | None = None, soon: int = 0
    ) -> list[WorkerJob]:
        """Take jobs and tell that they are started, in one commit."""
        return await self._claimer.claim(worker, lanes, count, ahead)

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """Return jobs of claims that were in doubt, and are ours."""
        return await self._claimer.withdraw(worker)

    def subscribe(self, topic: Topic[M]) -> AsyncIterator[M]:
        """Yield what is sent from now on."""
        return PostgresSubscription(self._node, topic)

    async def wait(self, topic: Topic[Any], timeout: float, *, partitions: Sequence[int] | None = None) -> None:
        """Wait for something to be sent."""
        await self._node.wait(topic.name, timeout, partitions)

    def wake(self, topic: Topic[Any]) -> None:
        """Make waits on this topic return in all processes."""
        self._node.announce({topic.name: None})

    async def depths(self) -> list[TopicDepth]:
        """Return the depth of every backlog."""
        found = []
        for topic in topics.TOPICS:
            if topic.route is Route.KEYED:
                statement = SQL.of("depth_keyed", table_of(topic))
                found.append(await depth(self._node.pool, topic.name, statement, self._node.partitions))
        return found + await job_depths(self._node.pool)

    async def close(self) -> None:
        """Send what is under way and close the connections."""
        await self._emitter.close()
        await self._node.close()


def _delivery(topic: Topic[M], row: EventRow) -> Delivery[M]:
    part, number, key, level, body = row
    try:
        message = codec.decode(topic, body, level)
    except codec.Undecodable as failure:
        return Delivery(id=number, partition=part, key=key, message=None, body=body, error=str(failure))
    return Delivery(id=number, partition=part, key=key, message=message, body=body)


async def job_depths(pool: PostgresPool) -> list[TopicDepth]:
    """Return the depth of the waiting line and of the dead letters, which are tables on every backend."""
    return [
        await depth(pool, topics.WORKER_JOB.name, SQL["depth_jobs"]),
        await depth(pool, DEAD_LETTER, SQL["depth_dead_letters"]),
    ]


async def depth(pool: PostgresPool, name: str, statement: bytes, partitions: int = 0) -> TopicDepth:
    """Ask for the depth of one table."""
    ((messages, oldest_s),) = await pool.fetch(statement, {"partitions": partitions})
    return TopicDepth(topic=name, messages=messages, oldest_s=oldest_s or 0.0)
