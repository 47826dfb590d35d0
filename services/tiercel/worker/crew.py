"""
What runs on a worker now, and which kills it has heard of.

A kill ends what runs. One that names an attempt is also remembered for a while, because it may overtake its job; one of
a whole execution holds for jobs of claims that began before it was heard: the executor has taken back all others, and
a later claim can only bring jobs of the time after a restart.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from datetime import timedelta
from typing import Final

from tiercel.messages.broadcast import KillRun
from tiercel.messages.worker_job import TaskJob
from tiercel.worker import metrics
from tiercel.worker.attempt import Stop
from tiercel.worker.binding import Binder
from tiercel.worker.jobrun import JobRun
from tiercel.worker.outbox import Outbox
from tiercel.worker.surroundings import Surroundings

KILL_MEMORY: Final = timedelta(minutes=10)
KILLS_MAX: Final = 100_000


class Crew:
    """The runs of one worker."""

    def __init__(self, worker: str, surroundings: Surroundings, binder: Binder, outbox: Outbox) -> None:
        self.worker = worker
        self.surroundings = surroundings
        self.binder = binder
        self.outbox = outbox
        self.ended_count = 0
        self._running: dict[tuple[str, int], JobRun] = {}
        self._kills: OrderedDict[tuple[str, int | None], tuple[int | None, int, float]] = OrderedDict()
        self._claims = itertools.count(1)
        self._claim = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running_count(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def running(self) -> list[JobRun]:
        """What runs, oldest first."""
        return list(self._running.values())

    def claim_begins(self) -> int:
        """Number a claim, so that kills heard while it is under way are known to concern it."""
        self._claim = next(self._claims)
        return self._claim

    def take(self, job: TaskJob, claim: int) -> None:
        """Begin to run a claimed job, or end it at once when it was killed meanwhile."""
        run = JobRun(job, self)
        key = (job.execution_id, job.seq)
        earlier = self._running.get(key)
        if earlier is not None and earlier.job.attempt != job.attempt:
            # The executor gave this one up; two attempts must not run side by side.
            earlier.stop(Stop.KILLED)
        self._running[key] = run
        self._idle.clear()
        if self._is_killed(job, claim):
            run.stop(Stop.KILLED)
        run.start()

    def ended(self, run: JobRun) -> None:
        """Forget a run that has reported."""
        key = (run.job.execution_id, run.job.seq)
        if self._running.get(key) is run:
            del self._running[key]
            if not self._running:
                self._idle.set()
        self.ended_count += 1
        self.freed()

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    def freed(self) -> None:
        """Called when a slot is free; replaced by the service."""

    def kill(self, kill: KillRun) -> None:
        """End what a kill concerns, and remember it."""
        if kill.worker is not None and kill.worker != self.worker:
            return
        now = self.surroundings.clock.now()
        until = (now + KILL_MEMORY).timestamp()
        self._kills[kill.execution_id, kill.seq] = (kill.attempt, self._claim, until)
        self._kills.move_to_end((kill.execution_id, kill.seq))
        self._forget(now.timestamp())
        for run in list(self._running.values()):
            if run.job.execution_id == kill.execution_id and _concerns(kill.seq, kill.attempt, run.job):
                metrics.KILLED.inc()
                run.stop(Stop.KILLED)

    def _forget(self, now: float) -> None:
        while self._kills:
            key, (_, _, until) = next(iter(self._kills.items()))
            if until > now and len(self._kills) <= KILLS_MAX:
                return
            del self._kills[key]

    def _is_killed(self, job: TaskJob, claim: int) -> bool:
        if not self._kills:
            return False
        whole = self._kills.get((job.execution_id, None))
        if whole is not None and claim <= whole[1]:
            return True
        own = self._kills.get((job.execution_id, job.seq))
        if own is None:
            return False
        attempt, heard_in, _ = own
        return job.attempt <= attempt if attempt is not None else claim <= heard_in

    def stop_all(self, reason: Stop) -> None:
        """End everything that runs."""
        for run in list(self._running.values()):
            run.stop(reason)


def _concerns(seq: int | None, attempt: int | None, job: TaskJob) -> bool:
    return (seq is None or seq == job.seq) and (attempt is None or job.attempt <= attempt)
