"""
Hands out jobs on Kafka: claims for the workers as many as they have granted, and sends each to its worker's inbox.

One process at a time dispatches, the holder of the lease `dispatcher`; executors stand by. A transaction begins by
reading the lease's token, takes jobs from the waiting line, and writes how much each worker has been sent, the messages
to the inboxes and the `started` events. So a job is claimed, owned and counted in one commit, and who takes over reads
the same rows. A worker that is not heard gets nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from tiercel.errors import TiercelError, Unavailable
from tiercel.messages import codec
from tiercel.messages.topics import WORKER_JOB
from tiercel.messages.worker_event import WorkerCredit, WorkerEvent
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue.base import Lease
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.envelope import Kind
from tiercel.queue.kafka.handout import Handout
from tiercel.queue.kafka.hub import KafkaSubscription
from tiercel.queue.kafka.link import KafkaLink
from tiercel.queue.kafka.outbox import SQL, Outbox
from tiercel.queue.kafka.producer import Record
from tiercel.queue.kafka.roster import Group
from tiercel.queue.postgres import claim
from tiercel.queue.postgres.fence import fence_columns
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import LEASE_LOST
from tiercel.queue.postgres.sending import SQL as QUEUE_SQL
from tiercel.runtime import retry
from tiercel.runtime.clock import Clock
from tiercel.runtime.postgres.batch import Batch
from tiercel.runtime.postgres.pool import Connection
from tiercel.statestore.base import DISPATCHER, LeaseLost, Leases

log = logging.getLogger(__name__)

TTL_S: Final = 10.0
"""A dispatcher that has not renewed its lease for this long has a successor."""
RENEW_S: Final = 3.0
"""Three tries fit into the time that the lease lasts."""
WAIT_S: Final = 1.0
"""Safety net when a wake-up is lost."""
RETRY_S: Final = 0.5
"""Between two tries while the database or the brokers are away."""
COUNT_MAX: Final = 256
"""Jobs of one transaction."""
CLEAN_S: Final = 600.0
"""Between two removals of workers and origins that are gone: they are few, and only take room."""


class Dispatcher:
    """Shares the waiting jobs out, from `start` to `close`."""

    def __init__(
        self,
        node: PostgresNode,
        link: KafkaLink,
        leases: Leases,
        credits_heard: KafkaSubscription[Any],
        handout: Handout,
        clock: Clock,
    ) -> None:
        self._node = node
        self._link = link
        self._leases = leases
        self._credits = credits_heard
        self._clock = clock
        self._outbox = Outbox(node.pool, link, DISPATCHER)
        self._instance = link.instance
        self._now = asyncio.get_running_loop().time
        self._handout = handout
        self._roster = handout.roster
        self._renewed_at = self._cleaned_at = -CLEAN_S
        self._turn = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Dispatch in the background; instances without the lease stand by."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._hear(), name="kafka.dispatcher.credits"),
            loop.create_task(self._run(), name="kafka.dispatcher"),
        ]

    async def _hear(self) -> None:
        """Note what workers say."""
        async for message in self._credits:
            if self._roster.hear(message) and not self._is_idle(message):
                self._node.wake_here(WORKER_JOB.name)

    def _is_idle(self, message: WorkerEvent) -> bool:
        """Tell whether nothing waits in the lanes of the worker that says this, and it waits for no answer."""
        leaves = isinstance(message, WorkerCredit) and message.leaving
        return not leaves and self._handout.is_drained(message.lanes)

    async def _run(self) -> None:
        outage = retry.Outage("dispatching of jobs")
        while True:
            try:
                with outage:
                    await self._round()
            except LeaseLost as error:
                log.warning("another instance dispatches: %s", error, extra={"action": "dispatcher_fenced"})
                self._lose()
            except TiercelError as error:
                log.error("nothing was dispatched: %s", error, extra={"action": "dispatch_failed"})
                self._lose()
                await asyncio.sleep(RETRY_S)  # somebody must act, and does not say when that is done
            if outage.lasts:
                self._lose()
                await asyncio.sleep(RETRY_S)  # a backend does not say that it is back

    async def _round(self) -> None:
        """Dispatch what there is, or wait for the lease, a job or a credit."""
        await self._hold()
        if self._handout.lease is None:
            await self._leases.changed(DISPATCHER, RENEW_S)  # a lease that becomes free is taken at once
        elif not await self.dispatch():
            await self._node.wait(WORKER_JOB.name, WAIT_S)  # a job or a credit wakes it

    async def _hold(self) -> None:
        """Keep the lease, or try to get it; a new token means that others may have dispatched."""
        if self._handout.lease is not None and self._now() - self._renewed_at < RENEW_S:
            return
        began = self._now()
        owned = await self._leases.take(DISPATCHER, self._instance, level=WORKER_JOB.level, ttl_s=TTL_S)
        lease = owned[0] if owned else None
        known = self._handout.lease
        if lease is not None and (known is None or known.token != lease.token):
            await self._outbox.inherit()
            async with self._handout.turn:
                self._roster.begin(dict(await self._node.pool.fetch(SQL["workers"])))
            log.info("this process dispatches", extra={"action": "dispatcher_leads"})
        self._renewed_at = began if lease is not None else -RENEW_S
        if lease is not None:
            self._handout.lead(lease, began)
        else:
            self._handout.lose()
        metrics.LEADING.set(int(lease is not None))
        if lease is not None and began - self._cleaned_at > CLEAN_S:
            self._cleaned_at = began
            await self._clean()

    def _lose(self) -> None:
        """Trust nothing that is known of what others may have changed."""
        self._handout.lose()
        self._renewed_at = -RENEW_S
        metrics.LEADING.set(0)

    async def _clean(self) -> None:
        await self._node.pool.run(SQL["workers_clean"], {"living": self._roster.names})
        age_s = 2 * self._link.settings.retention.total_seconds()
        await self._node.pool.run(SQL["seen_clean"], {"age": age_s})

    async def dispatch(self) -> int:
        """Share out what waits, as far as there is room; return how many jobs."""
        self._link.require_contact()
        async with self._handout.turn, self._outbox.turn:
            lease = self._handout.lease
            if lease is None:
                return 0
            await self._outbox.ready()
            self._say_farewell()
            groups = self._roster.groups()
            metrics.WORKERS.set(len(self._roster.names))
            metrics.FREE_SLOTS.set(self._roster.free)
            if not groups:
                self._handout.drained(())
                return 0
            self._turn += 1
            first = self._turn % len(groups)
            return await self._transact(lease, [*groups[first:], *groups[:first]])

    async def _transact(self, lease: Lease, groups: Sequence[Group]) -> int:
        try:
            async with self._node.pool.connection() as connection:
                try:
                    found = await self._take(connection, lease, groups)
                    self._handout.drained(_drained(groups, found))
                    if not any(found):
                        await connection.execute(b"ROLLBACK")
                        return 0
                    records, count = await self._give(connection, list(zip(groups, found, strict=True)))
                except psycopg.Error as error:
                    if error.sqlstate == LEASE_LOST:
                        raise LeaseLost("The lease of the dispatcher has another owner; nothing was sent.") from error
                    raise
        except LeaseLost:
            raise
        except BaseException:  # cancelled too: whether it was committed is not known then
            self._outbox.doubt()
            self._roster.forget_sent()
            self._lose()
            raise
        self._outbox.committed(records)
        self._roster.committed()
        metrics.DISPATCHED.inc(count)
        metrics.DISPATCH_SIZE.observe(count)
        return count

    async def _take(self, connection: Connection, lease: Lease, groups: Sequence[Group]) -> list[list[claim.Row]]:
        """Begin, prove the lease, and claim for each group of workers that serve the same lanes."""
        batch = Batch([(b"BEGIN", {}), (QUEUE_SQL["fence"], fence_columns([lease]))])
        for group in groups:
            batch.add(*claim.statement(group.lanes, group.level, _wanted(group)))
        _, _, *found = await batch.rows(connection)
        return found

    async def _give(
        self, connection: Connection, found: Sequence[tuple[Group, list[claim.Row]]]
    ) -> tuple[list[Record], int]:
        """Share the jobs out and commit."""
        records: list[Record] = []
        undecodable: list[claim.Letter] = []
        given: list[tuple[str, WorkerJob, bytes]] = []
        for group, rows in found:
            if not rows:
                continue
            taken = claim.taken(rows)
            undecodable += taken.undecodable
            records += self._outbox.records([(out, codec.encode(out.message)) for out in taken.refusals])
            for job, row in taken.jobs:
                given.append((group.next(), job, bytes(row[5])))
        records += self._outbox.jobs((worker, body) for worker, _, body in given)
        records += self._outbox.started(((worker, job) for worker, job, _ in given), self._clock.now())
        batch = Batch()
        if undecodable:
            batch.add(QUEUE_SQL["bury"], claim.letters(WORKER_JOB, undecodable))
        batch.add(*self._handout.count())
        for statement, parameters in self._outbox.statements(records):
            batch.add(statement, parameters)
        batch.add(b"COMMIT")
        await batch.run(connection)
        return records, len(given)

    def _say_farewell(self) -> None:
        """Tell workers that leave how much they were sent; everything before it is on its way."""
        for worker, sent in self._roster.leaving():
            inbox = self._link.layout.inbox(worker)
            self._link.post_to(WORKER_JOB, inbox, worker, msgspec.msgpack.encode(sent), Kind.FAREWELL)

    async def close(self) -> None:
        """Stop, and give the lease back if the server answers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._outbox.close()
        with contextlib.suppress(Unavailable):  # it runs out by itself
            await self._leases.leave(DISPATCHER, self._instance)


def _wanted(group: Group) -> int:
    return min(group.free, COUNT_MAX)


def _drained(groups: Sequence[Group], found: Sequence[Sequence[Any]]) -> set[str]:
    """Return the lanes that had fewer jobs than there is room for."""
    return {
        lane for group, rows in zip(groups, found, strict=True) if len(rows) < _wanted(group) for lane in group.lanes
    }
