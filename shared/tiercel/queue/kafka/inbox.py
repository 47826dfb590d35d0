"""
A worker's side of DISPATCH: jobs come into an inbox as far as the worker has granted, and are handed over when claimed.

A claim for so many jobs raises what is granted to all that were handed over and so many more (see `claimer`). It is
told at once when little of what was told is left, else a moment later, and it is repeated every few seconds, which is
also how a new dispatcher learns of it. Jobs are received at least once and in order; what came before is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tiercel.errors import InternalError, Unavailable
from tiercel.messages import codec
from tiercel.messages.topics import WORKER_EVENT, WORKER_JOB
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue.base import Outgoing, returned_event
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.claimer import AHEAD_S, Claimer
from tiercel.queue.kafka.consumer import Read
from tiercel.queue.kafka.envelope import Kind, unpack
from tiercel.queue.kafka.link import KafkaLink
from tiercel.queue.refusal import refusals
from tiercel.runtime.clock import Clock

log = logging.getLogger(__name__)

TELL_S: Final = 0.5
"""How long a credit may wait while much of what was told is left: it costs the brokers as much as a job does."""
TELL_SHORT_S: Final = 0.005
"""And how long where slots stand idle meanwhile: tasks that end together are told together."""
REPEAT_S: Final = 3.0
"""How often a credit is told again."""
FAREWELL_S: Final = 8.0
"""How long a worker that leaves waits for jobs that are on their way."""


class Inbox:
    """The inboxes of the workers in this process: one, but for tests."""

    def __init__(self, link: KafkaLink, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._now = asyncio.get_running_loop().time
        self._claimers: dict[str, Claimer] = {}
        self._listening: set[int] = set()
        self._joining = asyncio.Lock()
        self._repeater: asyncio.Task[None] | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def claim(self, worker: str, lanes: Sequence[str], count: int, soon: int = 0) -> list[WorkerJob]:
        """Hand over at most so many jobs, and grant what is missing, and what is missing soon."""
        if not lanes or (count <= 0 and worker not in self._claimers):
            return []
        claimer = self._claimers.get(worker) or await self._join(worker, tuple(lanes))
        if claimer.lanes != tuple(lanes):
            raise InternalError(f"Worker '{worker}' claims from other lanes than before; a worker serves its lanes.")
        taken = claimer.claim(max(0, count), self._now(), soon)
        if claimer.is_urgent:
            self._tell(claimer)
        elif claimer.is_news:
            self._tell_within(TELL_SHORT_S if claimer.is_short else TELL_S)
        return taken

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """Grant nothing more, wait for what is on its way, and return what was not handed over."""
        claimer = self._claimers.get(worker)
        if claimer is None:
            return []
        claimer.leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):  # a dispatcher that is gone must not hold up the stop
                await self._take_leave(claimer)
        if claimer.farewell is None:
            log.warning("no dispatcher has said farewell", extra={"action": "farewell_missed", "worker": worker})
        return claimer.all()

    async def _take_leave(self, claimer: Claimer) -> None:
        """Say that the worker leaves until the dispatcher has said farewell and all that it sent is here."""
        while claimer.farewell is None or claimer.received < claimer.farewell:
            claimer.changed.clear()
            self._tell(claimer)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S / 4):  # a farewell may be lost: it is told again
                    await claimer.changed.wait()

    async def _join(self, worker: str, lanes: tuple[str, ...]) -> Claimer:
        """Listen to the inbox of a worker, from now on."""
        part = self._link.layout.inbox(worker)
        async with self._joining:
            if part not in self._listening:
                place = self._link.place(WORKER_JOB, part)
                ends = await asyncio.to_thread(self._link.offsets.ends, [place])
                self._link.consumer.assign({place: (ends[place], self._take)})
                self._listening.add(part)
        claimer = self._claimers.setdefault(worker, Claimer(worker, lanes))
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
                moved = self._take_one(claimer, read) or moved
            except InternalError as error:
                log.error("a message was not understood: %s", error, extra={"action": "job_skipped", "key": read.key})
        if moved:
            self._link.bell(WORKER_JOB.name, None)
            self._look_later()

    def _take_one(self, claimer: Claimer, read: Read) -> bool:
        """Take one message; tell whether it brought a job."""
        envelope = unpack(read.value)
        if not claimer.heard.is_new(envelope.origin, envelope.seq):
            return False
        claimer.changed.set()
        if envelope.kind is Kind.FAREWELL:
            claimer.farewell = msgspec.msgpack.decode(envelope.body, type=int)
            return False
        try:
            job = codec.decode(WORKER_JOB, envelope.body, envelope.level)
        except (codec.Undecodable, codec.NewerLevel) as error:
            claimer.skip()
            self._refuse(envelope.body, str(error))
            return False
        claimer.take(job, self._now())
        return True

    def _refuse(self, body: bytes, reason: str) -> None:
        """Tell who waits for a job that nobody here can read: it has been claimed, so that nobody else will."""
        log.error("a job was refused: %s", reason, extra={"action": "job_refused"})
        self._post(_refusals(body, reason))

    # Handing back.

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(AHEAD_S, self._look)

    def _look(self) -> None:
        """Hand back what has waited too long here."""
        self._looking = None
        for claimer in self._claimers.values():
            if claimer.leaving:
                continue
            found = claimer.overdue(self._now())
            if found:
                at = self._clock.now()
                metrics.HANDED_BACK.inc(len(found))
                log.info(
                    "jobs have waited too long for a slot, and go to other workers",
                    extra={"action": "jobs_handed_back", "count": len(found)},
                )
                self._post([returned_event(claimer.worker, job, at) for job in found])
                self._tell(claimer)
        if not all(claimer.is_empty for claimer in self._claimers.values()):
            self._look_later()

    # Telling.

    def _tell_within(self, seconds: float) -> None:
        due = self._now() + seconds
        if self._telling is not None:
            if self._telling.when() <= due:
                return
            self._telling.cancel()
        self._telling = asyncio.get_running_loop().call_at(due, self._tell_news)

    def _tell_news(self) -> None:
        self._telling = None
        for claimer in self._claimers.values():
            if claimer.is_news:
                self._tell(claimer)

    def _tell(self, claimer: Claimer) -> None:
        try:
            self._link.post([Outgoing(topic=WORKER_EVENT, key=claimer.worker, message=claimer.credit())])
        except Unavailable as error:
            log.debug("credit was not told: %s", error, extra={"action": "credit_untold"})

    def _post(self, messages: Sequence[Outgoing]) -> None:
        """Send what must arrive: it waits in memory for the brokers, however many wait there already."""
        self._link.post(messages, always=True)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_S)  # what was lost on the way is never answered
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
        for timer in (self._telling, self._looking):
            if timer is not None:
                timer.cancel()
        if self._repeater is not None:
            self._repeater.cancel()
            await asyncio.gather(self._repeater, return_exceptions=True)


def _refusals(body: bytes, reason: str) -> list[Outgoing]:
    """Return what is told of a job that cannot be decoded: even then it says whose it is."""
    try:
        said = msgspec.msgpack.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InternalError(f"A job cannot be read, and does not say whose it is: {error}") from error
    owner = str(said.get("execution_id") or said.get("trigger_uid") or "")
    seq, attempt = said.get("seq"), said.get("attempt")
    return refusals(owner, seq if isinstance(seq, int) else 0, reason, attempt if isinstance(attempt, int) else 1)
