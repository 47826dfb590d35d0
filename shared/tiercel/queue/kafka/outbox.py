"""
What transactions send: rows beside the state that they change, sent after the commit in the order of their numbers.

The numbers belong to an **origin**, which one process uses for one stream of transactions, one at a time. Rows are
deleted when the brokers have confirmed them. Between each two steps somebody may die:

* before the commit: nothing was changed and nothing was sent;
* between the commit and the end of sending: who takes the dead one's partitions sends its rows first (`inherit`); some
  may arrive twice, in order, and readers drop what they have had;
* between the confirmation and the deletion: the same;
* while nobody knows whether the commit happened: the origin ends. Its rows are inherited, now if they are there, or by
  the next sweep if they appear late; under a new origin nothing that is sent meanwhile makes them look repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tiercel.errors import TiercelError, Unavailable
from tiercel.messages import codec
from tiercel.messages.topics import HISTORY, WORKER_JOB
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue.base import Outgoing, started_events
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.link import CONFIRM_S, KafkaLink
from tiercel.queue.kafka.producer import Record
from tiercel.queue.metrics import OUTBOX_MESSAGES
from tiercel.runtime.postgres.array import byteas, int2s, int8s, texts
from tiercel.runtime.postgres.batch import Statement
from tiercel.runtime.postgres.pool import PostgresPool
from tiercel.runtime.postgres.statement import Statements

log = logging.getLogger(__name__)

SQL: Final = Statements("tiercel.queue.kafka", "kafka.sql")
PAGE: Final = 1000
"""Rows of another origin that are sent at a time."""
CLEAR_COUNT: Final = 64
"""Rows that are forgotten by the next transaction, once so many are confirmed; the sweep forgets fewer."""
SWEEP_S: Final = 5.0
"""Between two sweeps: an abandoned row waits so much longer than `ABANDONED_S` at most."""
ABANDONED_S: Final = 15.0
"""Rows of others that are older than this belong to somebody who cannot send them."""


class Outbox:
    """The rows of one service's transactions in this process."""

    def __init__(self, pool: PostgresPool, link: KafkaLink, service: str) -> None:
        self.turn = asyncio.Lock()
        """Held by the one transaction that may number and send."""
        self._pool = pool
        self._link = link
        self._service = service
        self._epoch = 1
        self._seq = 0
        self._confirmed = 0
        self._cleared = 0
        self._clearing = 0
        """What the transaction under way makes of `cleared`."""
        self._sent: deque[tuple[int, int, tuple[asyncio.Future[None], ...]]] = deque()
        self._doubtful = False
        self._inheriting = asyncio.Lock()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep(), name=f"kafka.outbox.{service}")

    @property
    def origin(self) -> str:
        """The name of the stream that this process sends now."""
        return f"{self._link.instance}.{self._service}.{self._epoch}"

    async def ready(self) -> None:
        """Make sure that what was sent before is on its way; called with the turn, before a transaction."""
        if self._doubtful:
            await self.inherit()
            self._doubtful = False

    def records(self, messages: Sequence[tuple[Outgoing, bytes]]) -> list[Record]:
        """Number messages; called with the turn."""
        made = self._link.records(messages, self.origin, self._seq + 1)
        self._seq += len(made)
        return made

    def record(self, topic: Any, partition: int, key: str, body: bytes) -> Record:
        """Number one body for one partition; called with the turn."""
        self._seq += 1
        made = self._link.record(topic, partition, key, body, self.origin, self._seq)
        self._link.producer.check([made])
        return made

    def jobs(self, given: Iterable[tuple[str, bytes]]) -> list[Record]:
        """Number jobs for workers' inboxes; called with the turn."""
        return [self.record(WORKER_JOB, self._link.layout.inbox(worker), worker, body) for worker, body in given]

    def started(self, given: Iterable[tuple[str, WorkerJob]], at: datetime) -> list[Record]:
        """Number the events that tell that workers have jobs; called with the turn."""
        told = [out for worker, job in given for out in started_events(worker, [job], at)]
        # No hurry with these: most often the job's end follows at once, and both are decided together.
        records = self.records([(out, codec.encode(out.message)) for out in told])
        return [msgspec.structs.replace(record, is_patient=True) for record in records]

    def statements(self, records: Sequence[Record]) -> Iterator[Statement]:
        """Yield what keeps records, the last that were numbered, and forgets what is confirmed; with the turn."""
        self._settle()
        self._clearing = self._confirmed if self._confirmed - self._cleared >= CLEAR_COUNT else self._cleared
        if self._clearing > self._cleared:
            yield SQL["clear_outbox"], self._about(self._clearing)
        if records:
            yield (
                SQL["write_outbox"],
                {
                    "service": self._service,
                    "origin": self.origin,
                    "seqs": int8s(range(self._seq - len(records) + 1, self._seq + 1)),
                    "topics": texts([record.topic for record in records]),
                    "parts": int2s([record.partition for record in records]),
                    "keys": texts([record.key for record in records]),
                    "bodies": byteas([record.value for record in records]),
                },
            )

    def committed(self, records: Sequence[Record]) -> None:
        """
        Send what a transaction has kept; called with the turn, after its commit.

        History goes a moment later, together with that of what follows: nobody's next step waits for it.
        """
        self._cleared = self._clearing
        if records:
            history = self._link.layout.name(HISTORY)
            at_once = self._link.producer.send([record for record in records if record.topic != history])
            soon = self._link.producer.send([record for record in records if record.topic == history], soon=True)
            self._sent.append((self._seq, len(records), (at_once, soon)))
            metrics.RELAYED.inc(len(records))

    def doubt(self) -> None:
        """Nobody knows whether a transaction was committed: its origin ends."""
        self._epoch += 1
        self._seq = self._confirmed = self._cleared = self._clearing = 0
        self._sent.clear()
        self._doubtful = True

    async def inherit(self, age_s: float = 0.0) -> None:
        """Send what others of this service have committed and left, and wait until it is confirmed."""
        async with self._inheriting:
            about = {"service": self._service, "origin": self.origin, "age": age_s}
            for (origin,) in await self._pool.fetch(SQL["foreign_origins"], about):
                await self._inherit_from(origin)

    async def _inherit_from(self, origin: str) -> None:
        after = 0
        while True:
            about = {"service": self._service, "origin": origin, "after": after, "count": PAGE}
            rows = await self._pool.fetch(SQL["foreign_outbox"], about)
            if not rows:
                return
            after = rows[-1][0]
            records = [Record(topic, part, key, bytes(value)) for _, topic, part, key, value in rows]
            future = self._link.producer.send(records)
            metrics.INHERITED.inc(len(records))
            done, _ = await asyncio.wait({future}, timeout=CONFIRM_S)  # what is not confirmed stays a row
            if not done or future.cancelled():
                raise Unavailable("Kafka does not confirm the messages that another process has left.")
            await self._pool.run(SQL["clear_outbox"], {"service": self._service, "origin": origin, "seq": after})
            log.info(
                "messages of another process were sent",
                extra={"action": "outbox_inherited", "origin": origin, "count": len(records)},
            )

    def _settle(self) -> None:
        """Note how far everything is confirmed."""
        while self._sent and all(future.done() for future in self._sent[0][2]):
            last, _, futures = self._sent[0]
            if any(future.cancelled() for future in futures):
                return
            self._confirmed = last
            self._sent.popleft()
        OUTBOX_MESSAGES.set(sum(count for _, count, _ in self._sent))

    def _about(self, seq: int) -> dict[str, Any]:
        return {"service": self._service, "origin": self.origin, "seq": seq}

    async def _sweep(self) -> None:
        """Look from time to time after rows that nobody sends, and forget what is confirmed."""
        while True:
            await asyncio.sleep(SWEEP_S)  # a row whose sender has died is announced by nobody
            try:
                self._link.require_contact()
                await self.clear()
                await self.inherit(ABANDONED_S)
            except TiercelError as error:
                log.debug("outbox was not swept: %s", error, extra={"action": "outbox_unswept"})

    async def clear(self) -> None:
        """Forget what is confirmed."""
        async with self.turn:
            self._settle()
            if self._confirmed > self._cleared:
                await self._pool.run(SQL["clear_outbox"], self._about(self._confirmed))
                self._cleared = self._confirmed

    async def close(self) -> None:
        """Stop looking, and wait for the transaction that is under way."""
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, return_exceptions=True)
        pending = [future for _, _, futures in self._sent for future in futures]
        if pending:
            await asyncio.wait(pending, timeout=CONFIRM_S / 3)  # what is not confirmed stays a row
        try:
            await self.clear()
        except TiercelError as error:
            log.info("confirmed messages are left in the outbox: %s", error, extra={"action": "outbox_left"})
