"""
A worker's side of DISPATCH: jobs come into an inbox as far as the worker has granted, and are handed over when claimed.

A claim for so many jobs raises what is granted to all that were handed over and so many more. The number only grows,
so the message that tells it may be lost, repeated or late; it is repeated every few seconds, which is also how a new
dispatcher learns of it. Jobs are received at least once and in order; what came before is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from tiercel.errors import InternalError, Unavailable
from tiercel.messages import codec
from tiercel.messages.topics import WORKER_EVENT, WORKER_JOB
from tiercel.messages.worker_event import WorkerCredit
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue.base import Outgoing
from tiercel.queue.kafka.consumer import Read
from tiercel.queue.kafka.envelope import Kind, unpack
from tiercel.queue.kafka.link import KafkaLink

log = logging.getLogger(__name__)

REPEAT_S: Final = 3.0
"""So often a credit is told again."""
FAREWELL_S: Final = 8.0
"""How long a worker that leaves waits for jobs that are on their way."""


def inbox_of(worker: str, partitions: int) -> int:
    """Return the partition by which a worker gets its jobs."""
    return zlib.crc32(worker.encode()) % partitions


class _Claimer:
    """One worker of this process."""

    def __init__(self, worker: str, lanes: tuple[str, ...]) -> None:
        self.worker = worker
        self.lanes = lanes
        self.jobs: deque[WorkerJob] = deque()
        self.received = 0
        self.handed = 0
        self.granted = 0
        self.leaving = False
        self.farewell: int | None = None
        self.last: dict[str, int] = {}
        """The highest sequence of each origin: each has its own partition, and order only in it."""
        self.changed = asyncio.Event()

    def credit(self) -> WorkerCredit:
        return WorkerCredit(
            worker=self.worker,
            lanes=self.lanes,
            granted=self.granted,
            level=WORKER_JOB.level,
            leaving=self.leaving,
        )

    def take(self, read: Read) -> bool:
        """Take one message; tell whether it brought a job."""
        envelope = unpack(read.value)
        if envelope.seq <= self.last.get(envelope.origin, 0):
            return False
        self.last[envelope.origin] = envelope.seq
        self.changed.set()
        if envelope.kind is Kind.FAREWELL:
            self.farewell = msgspec.msgpack.decode(envelope.body, type=int)
            return False
        self.received += 1
        self.jobs.append(codec.decode(WORKER_JOB, envelope.body, envelope.level))
        return True


class Inbox:
    """The inboxes of the workers in this process: one, but for tests."""

    def __init__(self, link: KafkaLink) -> None:
        self._link = link
        self._claimers: dict[str, _Claimer] = {}
        self._listening: set[int] = set()
        self._joining = asyncio.Lock()
        self._repeater: asyncio.Task[None] | None = None

    async def claim(self, worker: str, lanes: Sequence[str], count: int) -> list[WorkerJob]:
        """Hand over at most so many jobs, and grant what is missing."""
        if count <= 0 or not lanes:
            return []
        claimer = self._claimers.get(worker) or await self._join(worker, tuple(lanes))
        if claimer.lanes != tuple(lanes):
            raise InternalError(f"Worker '{worker}' claims from other lanes than before; a worker serves its lanes.")
        granted = claimer.handed + count
        taken = [claimer.jobs.popleft() for _ in range(min(count, len(claimer.jobs)))]
        claimer.handed += len(taken)
        if granted > claimer.granted:
            claimer.granted = granted
            self._tell(claimer)
        return taken

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """Grant nothing more, wait for what is on its way, and return what was not handed over."""
        claimer = self._claimers.get(worker)
        if claimer is None:
            return []
        claimer.leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                while claimer.farewell is None or claimer.received < claimer.farewell:
                    claimer.changed.clear()
                    self._tell(claimer)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(FAREWELL_S / 4):
                            await claimer.changed.wait()
        if claimer.farewell is None:
            log.warning("no dispatcher has said farewell", extra={"action": "farewell_missed", "worker": worker})
        left = list(claimer.jobs)
        claimer.jobs.clear()
        claimer.handed += len(left)
        return left

    async def _join(self, worker: str, lanes: tuple[str, ...]) -> _Claimer:
        """Listen to the inbox of a worker, from now on."""
        part = inbox_of(worker, self._link.settings.inbox_partitions)
        async with self._joining:
            if part not in self._listening:
                place = self._link.place(WORKER_JOB, part)
                ends = await asyncio.to_thread(self._link.offsets.ends, [place])
                self._link.consumer.assign({place: (ends[place], self._take)})
                self._listening.add(part)
        claimer = self._claimers.setdefault(worker, _Claimer(worker, lanes))
        if self._repeater is None:
            self._repeater = asyncio.get_running_loop().create_task(self._repeat(), name="kafka.inbox")
        return claimer

    def _take(self, found: Sequence[Read]) -> None:
        """Take what was sent to the partition; most of it may be for others."""
        moved = False
        for read in found:
            claimer = self._claimers.get(read.key)
            if claimer is None:
                continue
            try:
                moved = claimer.take(read) or moved
            except InternalError as error:
                log.error("a job was not understood: %s", error, extra={"action": "job_skipped", "key": read.key})
        if moved:
            self._link.bell(WORKER_JOB.name, None)

    def _tell(self, claimer: _Claimer) -> None:
        try:
            self._link.post([Outgoing(topic=WORKER_EVENT, key=claimer.worker, message=claimer.credit())])
        except Unavailable as error:
            log.debug("credit was not told: %s", error, extra={"action": "credit_untold"})

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_S)
            if self._link.producer.pending:
                continue  # it waits there already
            for claimer in self._claimers.values():
                self._tell(claimer)

    async def close(self) -> None:
        """Tell that nothing more is wanted, and then nothing more."""
        for claimer in self._claimers.values():
            if not claimer.leaving:
                claimer.leaving = True
                self._tell(claimer)
        if self._repeater is not None:
            self._repeater.cancel()
            await asyncio.gather(self._repeater, return_exceptions=True)
