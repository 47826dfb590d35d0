"""The queue on PostgreSQL: KEYED topics are read without locks, jobs are claimed by deleting their rows."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from tiercel.errors import Unavailable
from tiercel.messages import codec, topics
from tiercel.messages.execution_event import ExecutionEvent
from tiercel.messages.topics import Route, Topic
from tiercel.messages.worker_job import TaskJob, WorkerJob
from tiercel.queue import metrics
from tiercel.queue.base import Delivery, Lease, Outgoing, OutgoingJob, TopicDepth
from tiercel.queue.postgres.emitter import Emitter
from tiercel.queue.postgres.fence import fence_columns
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import LEASE_LOST, SQL, Sending, table_of
from tiercel.queue.postgres.subscription import PostgresSubscription
from tiercel.queue.refusal import refusals
from tiercel.runtime.postgres.array import byteas, int2s, int8s, texts
from tiercel.runtime.postgres.pool import Connection

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

    def __init__(self, node: PostgresNode) -> None:
        self._node = node
        self._emitter = Emitter(node)
        self._doubtful: list[_Claim] = []
        self._newer: set[tuple[str, int, int]] = set()

    @property
    def partitions(self) -> int:
        """Number of partitions of KEYED topics."""
        return self._node.partitions

    async def emit(self, *messages: Outgoing, jobs: Sequence[OutgoingJob] = ()) -> None:
        """Append messages and jobs; calls that come at the same time share a transaction."""
        if not messages and not jobs:
            return
        sending = Sending(self._node.partitions)
        sending.add(messages)
        sending.add_jobs(jobs)
        await self._emitter.emit(sending)

    async def read(
        self, topic: Topic[M], partitions: Sequence[int], *, count: int, size: int = 8 << 20
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
                await self._leave_to_newer(topic, part, level)
                continue
            message, error = None, None
            try:
                message = codec.decode(topic, body, level)
            except codec.Undecodable as failure:
                error = str(failure)
            found.append(Delivery(id=number, partition=part, key=key, message=message, body=body, error=error))
        metrics.received(topic.name, len(found), time.perf_counter() - began)
        return found

    async def _leave_to_newer(self, topic: Topic[Any], part: int, level: int) -> None:
        """Hand the partition to instances that know the level; once is enough."""
        if (topic.name, part, level) in self._newer:
            return
        log.warning(
            "partition %s of topic '%s' waits for an instance of level %s; upgrade this one",
            part,
            topic.name,
            level,
            extra={"action": "newer_level_found"},
        )
        await self._node.pool.run(
            SQL["require_level"], {"services": list(topic.consumers), "part": part, "level": level}
        )
        self._newer.add((topic.name, part, level))

    async def acknowledge(
        self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]], leases: Sequence[Lease]
    ) -> bool:
        """Remove messages, if the leases hold."""
        columns = {
            "parts": int2s([delivery.partition for delivery in deliveries]),
            "ids": int8s([delivery.id for delivery in deliveries]),
        }
        async with self._node.pool.connection() as connection:
            try:
                async with connection.pipeline():
                    await connection.execute(SQL["fence"], fence_columns(leases))
                    await connection.execute(SQL.of("acknowledge", table_of(topic)), columns)
            except psycopg.Error as error:
                if error.sqlstate == LEASE_LOST:
                    return False
                raise
        return True

    async def bury(self, topic: Topic[Any], delivery: Delivery[Any], reason: str) -> None:
        """Copy a message to the dead letters."""
        await self._node.pool.run(SQL["bury"], _letters(topic, [(delivery.key, reason, delivery.body)]))

    async def claim(
        self, lanes: Sequence[str], count: int, started: Callable[[TaskJob], ExecutionEvent]
    ) -> list[WorkerJob]:
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
            rows = await self._take(connection, lanes, count)
            if not rows:
                await connection.execute(b"ROLLBACK")
                return []
            claim = self._claimed(rows, started)
            await self._finish(connection, claim)
        metrics.received(topics.WORKER_JOB.name, len(rows), time.perf_counter() - began)
        if len(lanes) > 1 and len(rows) == count:
            # Others may have passed over rows that were locked and not taken.
            self._node.announce({topics.WORKER_JOB.name: None})
        # That a job is started is no hurry: most often its end follows at once, and both are decided together.
        self._node.announce_soon(claim.sending.touched())
        return claim.jobs

    async def _take(self, connection: Connection, lanes: Sequence[str], count: int) -> list[tuple[Any, ...]]:
        statement = SQL["claim"] if len(lanes) == 1 else SQL["claim_lanes"]
        parameters = {"lane": lanes[0], "lanes": texts(lanes), "level": topics.WORKER_JOB.level, "count": count}
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            cursor = await connection.execute(statement, parameters, binary=True)
        return sorted(await cursor.fetchall())

    def _claimed(self, rows: list[tuple[Any, ...]], started: Callable[[TaskJob], ExecutionEvent]) -> _Claim:
        jobs: list[WorkerJob] = []
        events: list[Outgoing] = []
        undecodable = []
        for _, _, owner, seq, level, body, _ in rows:
            try:
                job = codec.decode(topics.WORKER_JOB, body, level)
            except codec.Undecodable as error:
                undecodable.append((owner, str(error), body))
                events += refusals(owner, seq, str(error))
                continue
            jobs.append(job)
            if isinstance(job, TaskJob):
                events.append(Outgoing(topic=topics.EXECUTION_EVENT, key=job.execution_id, message=started(job)))
        sending = Sending(self._node.partitions)
        sending.add(events)
        return _Claim(transaction=rows[0][6], jobs=jobs, sending=sending, undecodable=undecodable)

    async def _finish(self, connection: Connection, claim: _Claim) -> None:
        try:
            async with connection.pipeline():
                await claim.sending.execute(connection)
                if claim.undecodable:
                    await connection.execute(SQL["bury"], _letters(topics.WORKER_JOB, claim.undecodable))
                await connection.execute(b"COMMIT")
        except BaseException:
            self._doubtful.append(claim)
            raise

    async def _settle(self, claim: _Claim) -> list[WorkerJob]:
        """Ask the server what became of a claim."""
        try:
            ((status,),) = await self._node.pool.fetch(SQL["outcome"], {"transaction": claim.transaction})
            if status == "in progress":
                raise Unavailable("PostgreSQL has not decided yet what became of a claim; it is asked again.")
        except BaseException:
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
            elif topic.route is Route.DISPATCH:
                statement = SQL["depth_jobs"]
            else:
                continue
            found.append(await self._depth(topic.name, statement))
        found.append(await self._depth(DEAD_LETTER, SQL["depth_dead_letters"]))
        return found

    async def _depth(self, name: str, statement: bytes) -> TopicDepth:
        ((messages, oldest_s),) = await self._node.pool.fetch(statement, {"partitions": self._node.partitions})
        return TopicDepth(topic=name, messages=messages, oldest_s=oldest_s or 0.0)

    async def close(self) -> None:
        """Send what is under way and close the connections."""
        await self._emitter.close()
        await self._node.close()


def _letters(topic: Topic[Any], letters: Sequence[tuple[str, str, bytes]]) -> dict[str, Any]:
    return {
        "topics": texts([topic.name] * len(letters)),
        "keys": texts([key for key, _, _ in letters]),
        "reasons": texts([reason for _, reason, _ in letters]),
        "bodies": byteas([body for _, _, body in letters]),
    }
