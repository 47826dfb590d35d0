"""The queue on PostgreSQL: KEYED topics are read without locks, jobs are claimed by deleting their rows."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from tiercel.errors import Unavailable
from tiercel.messages import codec, topics
from tiercel.messages.topics import Route, Topic
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue import metrics
from tiercel.queue.base import READ_SIZE_MAX, Delivery, Lease, Outgoing, TopicDepth, started_events
from tiercel.queue.postgres import claim as claims
from tiercel.queue.postgres.claim import letters
from tiercel.queue.postgres.emitter import Emitter
from tiercel.queue.postgres.fence import fence_columns
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import LEASE_LOST, SQL, Sending, table_of
from tiercel.queue.postgres.subscription import PostgresSubscription
from tiercel.runtime.clock import Clock, SystemClock
from tiercel.runtime.postgres.array import int2s, int8s
from tiercel.runtime.postgres.batch import Batch
from tiercel.runtime.postgres.pool import Connection, PostgresPool

M = TypeVar("M")
log = logging.getLogger(__name__)
DEAD_LETTER: Final = "dead_letter"


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What one claim took, and what is sent because of it."""

    transaction: str | None
    jobs: list[WorkerJob]
    sending: Sending
    undecodable: list[tuple[str, str, bytes]]


class PostgresQueue:
    """Moves messages between processes through tables."""

    def __init__(self, node: PostgresNode, clock: Clock | None = None) -> None:
        self._node = node
        self._clock = clock or SystemClock()
        self._emitter = Emitter(node)
        self._doubtful: list[_Claim] = []

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
        rows = await self._node.pool.fetch(
            SQL.of("read", table_of(topic)), {"parts": int2s(partitions), "count": count, "size": size}
        )
        found: list[Delivery[M]] = []
        blocked: set[int] = set()
        for part, number, key, level, body in rows:
            if part in blocked:
                continue
            if level > topic.level:
                blocked.add(part)
                await self._node.leave_to_newer(topic, part, level)
                continue
            message, error = None, None
            try:
                message = codec.decode(topic, body, level)
            except codec.Undecodable as failure:
                error = str(failure)
            found.append(Delivery(id=number, partition=part, key=key, message=message, body=body, error=error))
        metrics.received(topic.name, len(found), time.perf_counter() - began)
        return found

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

    async def claim(self, worker: str, lanes: Sequence[str], count: int) -> list[WorkerJob]:
        """
        Take jobs and tell that they are started, in one commit.

        When the connection is lost during the commit nobody knows yet whose the jobs are: the next call finds out, and
        returns them if they are ours.
        """
        if self._doubtful:
            return await self._settle(self._doubtful.pop())
        if count <= 0 or not lanes:
            return []
        began = time.perf_counter()
        async with self._node.pool.connection() as connection:
            # Not waiting for the disk: a claim that a crash of the server takes back is made again, and no later commit
            # is durable without it (docs/adr/0019).
            batch = Batch([(b"BEGIN", {}), (b"SET LOCAL synchronous_commit TO off", {})])
            batch.add(*claims.statement(lanes, topics.WORKER_JOB.level, count))
            *_, rows = await batch.rows(connection)
            if not rows:
                await connection.execute(b"ROLLBACK")
                return []
            claim = self._claimed(worker, rows)
            await self._finish(connection, claim)
        metrics.received(topics.WORKER_JOB.name, len(rows), time.perf_counter() - began)
        if len(lanes) > 1 and len(rows) == count:
            # Others may have passed over rows that were locked and not taken.
            self._node.announce({topics.WORKER_JOB.name: None})
        # That a job is started is no hurry: most often its end follows at once, and both are decided together.
        self._node.announce_soon(claim.sending.touched())
        return claim.jobs

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """Return jobs of claims that were in doubt, and are ours."""
        found: list[WorkerJob] = []
        while self._doubtful:
            found += await self._settle(self._doubtful.pop())
        return found

    def _claimed(self, worker: str, rows: Sequence[claims.Row]) -> _Claim:
        taken = claims.taken(rows)
        jobs = [job for job, _ in taken.jobs]
        sending = Sending(self._node.partitions)
        sending.add([*started_events(worker, jobs, self._clock.now()), *taken.refusals])
        return _Claim(transaction=taken.transaction, jobs=jobs, sending=sending, undecodable=taken.undecodable)

    async def _finish(self, connection: Connection, claim: _Claim) -> None:
        try:
            batch = Batch(claim.sending.statements())
            if claim.undecodable:
                batch.add(SQL["bury"], letters(topics.WORKER_JOB, claim.undecodable))
            batch.add(b"COMMIT")
            await batch.run(connection)
        except BaseException:  # cancelled too: its outcome is not known then
            self._doubtful.append(claim)
            raise

    async def _settle(self, claim: _Claim) -> list[WorkerJob]:
        """Ask the server what became of a claim."""
        try:
            ((status,),) = await self._node.pool.fetch(SQL["outcome"], {"transaction": claim.transaction})
            if status == "in progress":
                raise Unavailable("PostgreSQL has not decided yet what became of a claim; it is asked again.")
        except BaseException:  # cancelled too: it is asked again
            self._doubtful.append(claim)
            raise
        if status != "committed":
            return []
        self._node.announce(claim.sending.touched())
        return claim.jobs

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
