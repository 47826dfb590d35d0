"""
Runs jobs that only compute before they are this worker's, so that one commit takes them and tells of their end.

A task that renders a text ends in less time than a commit takes. Nothing that such a run does shows before the job is
taken: its lines, measurements and report are gathered, what it would ask of the world ends the attempt, and so does
whatever makes it wait. The job is then claimed and run from its beginning, as any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine
from typing import Any, Final, NoReturn

from tiercel.errors import TiercelError
from tiercel.messages.execution_event import Event
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import LogEntry, MetricEntry
from tiercel.plugins.base import RunnableTask, Task
from tiercel.queue.base import Outgoing
from tiercel.worker.attempt import Outcome
from tiercel.worker.crew import Crew
from tiercel.worker.jobrun import JobRun


class TooSoon(BaseException):
    """A run asks for something outside before its job is this worker's; no task may catch it."""


def _refuse() -> NoReturn:
    raise TooSoon


class _OutOfReach:
    """Stands where storage, secrets and the API are."""

    def __getattr__(self, name: str) -> NoReturn:
        _refuse()


_OUT_OF_REACH: Final[Any] = _OutOfReach()


class Ahead:
    """Runs jobs ahead for one worker (`tiercel.queue.base.Ahead`)."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._trial: _Trial | None = None

    def told(self, job: TaskJob) -> list[Outgoing] | None:
        """Run a job and return what is to be told of it; None if it must be this worker's first."""
        if self._crew.is_killed(job):
            return None
        try:
            task = self._crew.binder.task(job.definition)
        except TiercelError:  # said by the run that follows
            return None
        if not _only_computes(task):
            return None
        trial = self._trial = _Trial(job, self._crew)
        return trial.messages() if trial.ends_at_once() else None

    def taken(self, job: TaskJob) -> None:
        """Count a job that was run ahead."""
        trial, self._trial = self._trial, None
        if trial is not None and trial.run.job is job:
            trial.count()


def _only_computes(task: Task) -> bool:
    has_cache = task.task_cache is not None and task.task_cache.enabled
    return isinstance(task, RunnableTask) and task.COMPUTES and not has_cache and not task.log_to_file


class _Trial:
    """One job that is run ahead: it takes the place of crew and outbox, and keeps everything that it is told."""

    def __init__(self, job: TaskJob, crew: Crew) -> None:
        self._crew = crew
        self._lines: list[LogEntry] = []
        self._measured: list[MetricEntry] = []
        self._events: list[Event] = []
        self.worker = crew.worker
        self.binder = crew.binder
        self.outbox = self
        self.surroundings = dataclasses.replace(
            crew.surroundings,
            log_sink=self._lines.append,
            metric_sink=self._measured.append,
            storage=_OUT_OF_REACH,
            secrets=_OUT_OF_REACH,
            key_values=_OUT_OF_REACH,
            api=_OUT_OF_REACH,
            asking=_refuse,
        )
        self.run = _UncountedRun(job, self)

    def event(self, event: Event, _size: int = 0) -> None:
        self._events.append(event)

    def ended(self, run: JobRun) -> None:
        pass

    def ends_at_once(self) -> bool:
        """Run as far as it goes without waiting; true if that is to its end."""
        work: Coroutine[Any, Any, None] = self.run.work()
        try:
            work.send(None)
        except StopIteration:
            return self.run.reported
        except TooSoon:
            return False
        finally:
            work.close()
        return False

    def messages(self) -> list[Outgoing]:
        """Return what is to be told."""
        events = [Outgoing(topic=EXECUTION_EVENT, key=each.execution_id, message=each) for each in self._events]
        return [*self._crew.outbox.history(self._lines, self._measured), *events]

    def count(self) -> None:
        """Count what is told by now."""
        for line in self._lines:
            self._crew.surroundings.error_log.note(line)
        self._crew.ended_count += 1
        self.run.count()


class _UncountedRun(JobRun):
    """A run that is counted when its job is taken."""

    def _count_start(self, task_type: str) -> None:
        self._type = task_type

    def _count_end(self, outcome: Outcome, seconds: float) -> None:
        self._end = outcome, seconds

    def count(self) -> None:
        """Count its start and its end."""
        super()._count_start(self._type)
        super()._count_end(*self._end)
