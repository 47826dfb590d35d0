"""
What runs on a worker now, and which kills it has heard of.

A kill ends what runs. One that names attempts is also remembered for a while, because it may overtake their jobs.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from datetime import timedelta
from typing import Final

from tiercel.messages.broadcast import KillRun
from tiercel.messages.successor import SuccessorResult
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import OutputRef
from tiercel.worker import metrics
from tiercel.worker.attempt import Stop
from tiercel.worker.binding import Binder
from tiercel.worker.foresight import Foresight
from tiercel.worker.jobrun import JobRun
from tiercel.worker.outbox import Outbox
from tiercel.worker.surroundings import Surroundings
from tiercel.worker.trial import successor_of

KILL_MEMORY: Final = timedelta(minutes=10)
"""How long a kill is remembered: its job may arrive after it, by no more than the queue is behind."""
KILLS_MAX: Final = 100_000
"""Kills that are remembered at most: those of a wide loop that is killed, in some ten megabytes."""


class Crew:
    """The runs of one worker."""

    def __init__(self, worker: str, surroundings: Surroundings, binder: Binder, outbox: Outbox) -> None:
        self.worker = worker
        self.surroundings = surroundings
        self.binder = binder
        self.outbox = outbox
        self.ended_count = 0
        self.foresight = Foresight()
        self._running: dict[tuple[str, int], JobRun] = {}
        self._kills: OrderedDict[tuple[str, int], tuple[int, float]] = OrderedDict()
        """The highest attempt of a task run that is killed, and until when that is remembered."""
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running_count(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def soon_free(self) -> int:
        """How many of them are expected to end in a moment."""
        return self.foresight.soon(self._now)

    @property
    def foresight_changes_s(self) -> float:
        """Seconds until `soon_free` is another number by itself."""
        changes_s = self.foresight.changes_in(self._now)
        return math.inf if changes_s is None else changes_s

    @property
    def _now(self) -> float:
        return self.surroundings.clock.now().timestamp()

    @property
    def running(self) -> list[JobRun]:
        """What runs, oldest first."""
        return list(self._running.values())

    def take(self, job: TaskJob) -> None:
        """Begin to run a claimed job, or end it at once when it was killed meanwhile."""
        run = JobRun(job, self)
        key = (job.execution_id, job.seq)
        earlier = self._running.get(key)
        if earlier is not None and earlier.job.attempt != job.attempt:
            # The executor gave this one up; two attempts must not run side by side.
            earlier.stop(Stop.KILLED)
        self._running[key] = run
        self._idle.clear()
        self.foresight.began(id(run), job, self._now)
        if self.is_killed(job):
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
        self.foresight.ended(id(run), self._now)
        self.freed()

    def succeeded(self, job: TaskJob, outputs: OutputRef | None) -> SuccessorResult | None:
        """Run what may be run after a job that has ended well; return what came of it."""
        trial, result = successor_of(job, outputs, self)
        if trial is not None:
            trial.count()
        return result

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    def freed(self) -> None:
        """Called when a slot is free; replaced by the service."""

    def kill(self, kill: KillRun) -> None:
        """End what a kill concerns, and remember it."""
        if kill.worker is not None and kill.worker != self.worker:
            return
        now = self._now
        if kill.seq is not None and kill.attempt is not None:
            self._remember(kill.execution_id, kill.seq, kill.attempt, now)
        for seq, attempt in kill.runs:
            self._remember(kill.execution_id, seq, attempt, now)
        for run in list(self._running.values()):
            if run.job.execution_id == kill.execution_id and _concerns(kill, run.job):
                metrics.KILLED.inc()
                run.stop(Stop.KILLED)

    def _remember(self, execution_id: str, seq: int, attempt: int, now: float) -> None:
        known, _ = self._kills.pop((execution_id, seq), (attempt, 0.0))
        self._kills[execution_id, seq] = (max(attempt, known), now + KILL_MEMORY.total_seconds())
        while self._kills:
            oldest, (_, until) = next(iter(self._kills.items()))
            if until > now and len(self._kills) <= KILLS_MAX:
                return
            del self._kills[oldest]

    def is_killed(self, job: TaskJob) -> bool:
        """Tell whether a kill has overtaken a job."""
        known = self._kills.get((job.execution_id, job.seq)) if self._kills else None
        return known is not None and job.attempt <= known[0]

    def stop_all(self, reason: Stop) -> None:
        """End everything that runs."""
        for run in list(self._running.values()):
            run.stop(reason)


def _concerns(kill: KillRun, job: TaskJob) -> bool:
    if kill.runs:
        return any(seq == job.seq and job.attempt <= attempt for seq, attempt in kill.runs)
    return (kill.seq is None or kill.seq == job.seq) and (kill.attempt is None or job.attempt <= kill.attempt)
