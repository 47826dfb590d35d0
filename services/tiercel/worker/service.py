"""
The worker's loops: claim jobs for free slots, hear kills, tell what happened, tell that it lives.

The order of a stop is part of the promise: no more claims, what was claimed and not begun is handed back, what runs may
end within a grace, what still runs then is killed and told as lost so that others run it, and at last everything that
there is to tell has been sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
from collections.abc import Coroutine
from typing import Any, Final

from tiercel.errors import Unavailable
from tiercel.messages.execution_event import JobReturned
from tiercel.messages.topics import BROADCAST, WORKER_JOB
from tiercel.messages.worker_event import WorkerHeartbeat
from tiercel.messages.worker_job import TaskJob, WorkerJob
from tiercel.model import ids
from tiercel.plugins.scripts import leftovers
from tiercel.runtime import retry, scratch
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.service import Service
from tiercel.worker import metrics
from tiercel.worker.ahead import Ahead
from tiercel.worker.attempt import Stop
from tiercel.worker.binding import Binder
from tiercel.worker.crew import Crew
from tiercel.worker.errorlog import ErrorLog
from tiercel.worker.handlers import broadcast, worker_job
from tiercel.worker.heart import Heart
from tiercel.worker.outbox import Outbox
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.surroundings import Surroundings
from tiercel.worker.triggers import TriggerRuns

log = logging.getLogger(__name__)

CLAIM_GRACE_S: Final = 10.0
"""How long a stopping worker waits for a claim that is under way."""
SEND_GRACE_S: Final = 30.0
"""How long a stopping worker tries to send its last reports while the queue is away."""


class WorkerService(Service):
    """Runs the tasks that the executor sends."""

    name = "worker"

    def __init__(self, adapters: Adapters, settings: WorkerSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or WorkerSettings()
        self._adapters = adapters
        self._queue = adapters.queue
        self._clock = adapters.clock
        self.worker = f"{platform.node()}-{ids.new_id(self._clock.now())}"
        self._freed = asyncio.Event()
        self._claims_ended = asyncio.Event()

    async def start(self) -> None:
        """Take up work."""
        error_log = ErrorLog()
        self.outbox = Outbox(self._queue, self.worker, self.settings, error_log)
        self._surroundings = Surroundings(
            storage=self._adapters.storage,
            secrets=self._adapters.secrets,
            settings=self.settings,
            clock=self._clock,
            log_sink=self.outbox.log,
            metric_sink=self.outbox.metric,
            room=self.outbox.room,
            error_log=error_log,
            api=self._adapters.api,
        )
        self.crew = Crew(self.worker, self._surroundings, Binder(), self.outbox)
        self.crew.freed = self._slot_freed  # type: ignore[method-assign]  # a hook
        self._ahead = Ahead(self.crew)
        self.triggers = TriggerRuns(self.crew)
        self._count_slots()
        self.heart = Heart(self._queue, self._clock, self.settings, self._beat)
        # Subscribed before the first claim: no kill of a claimed job is missed.
        self._broadcasts = self._queue.subscribe(BROADCAST)
        self._clearing = asyncio.create_task(self._clear_up())
        self.spawn("outbox", self.outbox.run())
        self.spawn("heart", self.heart.run(self._lost))
        self.spawn("broadcast", self._hear())
        self.spawn("claim", self._claim())

    async def _clear_up(self) -> None:
        """Remove what dead workers left on this machine."""
        await asyncio.to_thread(scratch.sweep, self._surroundings.temporary_folder)
        await leftovers.remove()

    def _slot_freed(self) -> None:
        self._count_slots()
        self._freed.set()

    def _beat(self) -> WorkerHeartbeat:
        return WorkerHeartbeat(
            worker=self.worker,
            lanes=self.settings.lanes,
            slots=self.settings.slots,
            ended=self.crew.ended_count,
            draining=self.stopping,
        )

    def _lost(self) -> None:
        self.crew.stop_all(Stop.LOST)
        self.triggers.stop_all()

    @property
    def _free(self) -> int:
        if self.stopping or self.heart.is_mute or self.outbox.is_full:
            return 0
        return self.settings.slots - self.crew.running_count - self.triggers.running_count

    def _count_slots(self) -> None:
        metrics.slots(self.settings.slots, self.crew.running_count, self.triggers.running_count)

    async def _claim(self) -> None:
        stop = asyncio.create_task(self._stopping.wait())
        try:
            while not self.stopping:
                free = self._free
                if free <= 0:
                    self._freed.clear()
                    # A free slot wakes it; the time is a safety net.
                    await _either(self._freed.wait(), stop, self.settings.poll_s)
                elif await self._claim_once(free) < free:
                    await self._queue.wait(WORKER_JOB, self.settings.poll_s)  # a job wakes it; the time is a safety net
        finally:
            stop.cancel()
            self._claims_ended.set()
        # A loop of a service must not end by itself; this one has nothing left to do until the service is gone.
        await asyncio.get_running_loop().create_future()

    async def _claim_once(self, free: int) -> int:
        jobs = await retry.waiting("queue", lambda: self._claimed(free))
        metrics.CLAIM_SIZE.observe(len(jobs))
        for job in jobs:
            if self.stopping:
                self._return(job)
            else:
                worker_job.handle(job, self.crew, self.triggers)
        if jobs:
            self._count_slots()
        return len(jobs)

    async def _claimed(self, free: int) -> list[WorkerJob]:
        return [] if self.stopping else await self._queue.claim(self.worker, self.settings.lanes, free, self._ahead)

    def _return(self, job: WorkerJob) -> None:
        if isinstance(job, TaskJob):
            metrics.RETURNED.inc()
            self.outbox.event(
                JobReturned(
                    execution_id=job.execution_id,
                    at=self._clock.now(),
                    seq=job.seq,
                    attempt=job.attempt,
                    worker=self.worker,
                )
            )
        else:
            self.triggers.hand_back(job)

    async def _hear(self) -> None:
        async for message in self._broadcasts:
            broadcast.handle(message, self.crew, self.triggers)

    async def drain(self) -> None:
        """Hand back what has not begun, let end what runs, send everything."""
        self._queue.wake(WORKER_JOB)
        # A claim that is under way may have happened: its loop hands back what it brings.
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(CLAIM_GRACE_S):  # a claim that hangs must not hold up the stop
                await self._claims_ended.wait()
                for job in await self._queue.withdraw(self.worker):
                    self._return(job)
        self.triggers.stop_all(hand_back=True)
        await self._let_end(self.settings.grace_s)
        if self.crew.running_count:
            log.warning(
                "%d tasks did not end in time and are given to others",
                self.crew.running_count,
                extra={"action": "drain_timed_out"},
            )
            self.crew.stop_all(Stop.LOST)
            await self._let_end(self.settings.kill_grace_s + 1.0)
        try:
            async with asyncio.timeout(SEND_GRACE_S):  # a queue that is away must not hold up the stop
                await self.outbox.emptied()
        except TimeoutError:
            log.error("the last reports could not be sent", extra={"action": "reports_lost"})
        await asyncio.to_thread(self._surroundings.close)

    async def _let_end(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # what does not end by then is lost or killed
                await self.crew.idle()


async def _either(waiting: Coroutine[Any, Any, Any], stop: asyncio.Task[Any], timeout: float) -> None:
    """Return when a wait is over, when the service is to stop, or after `timeout` seconds."""
    task = asyncio.create_task(waiting)
    try:
        # Whichever comes first; the caller says how long.
        await asyncio.wait({task, stop}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        task.cancel()
