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

    @property
    def _soon(self) -> int:
        """How many more slots will be free in a moment, where that is of use."""
        if not self._queue.sends_jobs or self.stopping or self.heart.is_mute or self.outbox.is_full:
            return 0
        return self.crew.soon_free

    def _count_slots(self) -> None:
        metrics.slots(self.settings.slots, self.crew.running_count, self.triggers.running_count)

    async def _claim(self) -> None:
        asked = 0
        try:
            while not self.stopping:
                self._freed.clear()
                free, soon, taken = max(0, self._free), self._soon, 0
                if free or soon != asked:
                    taken, asked = await self._claim_once(free, soon), soon
                await self._wait(is_full=taken == free)
        finally:
            self._claims_ended.set()
        # A loop of a service must not end by itself; this one has nothing left to do until the service is gone.
        await asyncio.get_running_loop().create_future()

    async def _wait(self, *, is_full: bool) -> None:
        """Return when there may be something to claim, or to ask for; the time is a safety net."""
        pause_s = self.settings.poll_s
        if self._queue.sends_jobs:
            pause_s = min(pause_s, self.crew.foresight_changes_s)
        elif not is_full:
            await self._queue.wait(WORKER_JOB, pause_s)  # who takes jobs by itself has asked for all free slots
            return
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._freed.wait())]
        if not is_full:
            waits.append(asyncio.create_task(self._queue.wait(WORKER_JOB, pause_s)))
        try:
            # Whichever comes first; what was announced to a wait that is ended here is there for the next one.
            done, _ = await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()

    async def _claim_once(self, free: int, soon: int) -> int:
        jobs = await retry.waiting("queue", lambda: self._claimed(free, soon))
        metrics.CLAIM_SIZE.observe(len(jobs))
        for job in jobs:
            if self.stopping:
                self._return(job)
            else:
                worker_job.handle(job, self.crew, self.triggers)
        if jobs:
            self._count_slots()
        return len(jobs)

    async def _claimed(self, free: int, soon: int) -> list[WorkerJob]:
        if self.stopping:
            return []
        return await self._queue.claim(self.worker, self.settings.lanes, free, self._ahead, soon)

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
        self._freed.set()
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
