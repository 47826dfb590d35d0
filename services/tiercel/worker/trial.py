"""
Runs of jobs for nothing, until somebody says that they count.

Nothing that such a run does shows: its lines, measurements and report are gathered, what it would ask of the world ends
it, and so does whatever makes it wait.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, Protocol

import msgspec

from tiercel.errors import TiercelError
from tiercel.messages.execution_event import Event, TaskFinished
from tiercel.messages.successor import Successor, SuccessorResult, fingerprint
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import LogEntry, MetricEntry, OutputRef
from tiercel.model.state import State
from tiercel.plugins.base import only_computes
from tiercel.worker.attempt import Outcome
from tiercel.worker.binding import Binder
from tiercel.worker.jobrun import JobRun
from tiercel.worker.surroundings import Surroundings


class TooSoon(BaseException):
    """A run asks for something outside before it counts; no task may catch it."""


def _refuse() -> NoReturn:
    raise TooSoon


class _OutOfReach:
    """Stands where storage, secrets and the API are."""

    def __getattr__(self, name: str) -> NoReturn:
        _refuse()


_OUT_OF_REACH: Final[Any] = _OutOfReach()
RESULT_BYTES_MAX: Final = 64 << 10
"""Of what a report tells of a successor: a report stays far below what a broker takes."""


class Crew(Protocol):
    """The worker for which jobs are tried."""

    worker: str
    surroundings: Surroundings
    binder: Binder
    ended_count: int


class Trial:
    """One job that is tried: it takes the place of crew and outbox, and keeps everything that it is told."""

    def __init__(self, job: TaskJob, crew: Crew) -> None:
        self._crew = crew
        self._successor: Trial | None = None
        self.lines: list[LogEntry] = []
        self.measured: list[MetricEntry] = []
        self.events: list[Event] = []
        self.worker = crew.worker
        self.binder = crew.binder
        self.outbox = self
        self.surroundings = dataclasses.replace(
            crew.surroundings,
            log_sink=self.lines.append,
            metric_sink=self.measured.append,
            storage=_OUT_OF_REACH,
            secrets=_OUT_OF_REACH,
            key_values=_OUT_OF_REACH,
            api=_OUT_OF_REACH,
            asking=_refuse,
        )
        self.run = _UncountedRun(job, self)

    def event(self, event: Event, _size: int = 0) -> None:
        self.events.append(event)

    def ended(self, run: JobRun) -> None:
        pass

    def succeeded(self, job: TaskJob, outputs: OutputRef | None) -> SuccessorResult | None:
        self._successor, result = successor_of(job, outputs, self._crew)
        return result

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

    def count(self) -> None:
        """Count what is told by now."""
        for line in self.lines:
            self._crew.surroundings.error_log.note(line)
        self._crew.ended_count += 1
        self.run.count()
        if self._successor is not None:
            self._successor.count()


class _UncountedRun(JobRun):
    """A run that is counted when it is told."""

    def _count_start(self, task_type: str) -> None:
        self._type = task_type

    def _count_end(self, outcome: Outcome, seconds: float) -> None:
        self._end = outcome, seconds

    def count(self) -> None:
        """Count its start and its end."""
        super()._count_start(self._type)
        super()._count_end(*self._end)


def successor_of(
    job: TaskJob, outputs: OutputRef | None, crew: Crew
) -> tuple[Trial, SuccessorResult] | tuple[None, None]:
    """Run what may come after a job that has ended well with these outputs; (None, None) if it does not end well."""
    if job.successor is None or (outputs is not None and outputs.value is None):
        return None, None
    try:
        after = _job_after(job, job.successor, outputs)
        mark = fingerprint(after.definition, after.context)
        if not only_computes(crew.binder.task(after.definition)):
            return None, None
    except (TiercelError, TypeError, ValueError, OverflowError, RecursionError):  # said by the run that follows
        return None, None
    trial = Trial(after, crew)
    if not trial.ends_at_once():
        return None, None
    end = trial.events[-1]
    if len(trial.events) > 1 or not isinstance(end, TaskFinished) or end.state is not State.SUCCESS:
        return None, None
    result = SuccessorResult(
        task_id=after.task_id,
        fingerprint=mark,
        started_at=end.started_at or end.at,
        ended_at=end.at,
        outputs=end.outputs,
        lines=tuple(trial.lines),
        measurements=tuple(trial.measured),
    )
    return (trial, result) if len(msgspec.msgpack.encode(result)) <= RESULT_BYTES_MAX else (None, None)


def _job_after(job: TaskJob, successor: Successor, outputs: OutputRef | None) -> TaskJob:
    context = {**successor.context, **{name: job.context[name] for name in successor.kept}}
    if successor.takes_outputs and outputs is not None:
        # As a job would bring them: through a message.
        value = msgspec.msgpack.decode(msgspec.msgpack.encode(outputs.value))
        context["outputs"] = {**(context.get("outputs") or {}), job.task_id: value}
    return msgspec.structs.replace(
        job,
        seq=-1,  # its task run does not exist yet
        attempt=1,
        task_id=successor.task_id,
        task_run_id="",
        definition=successor.definition,
        context=context,
        large=(),
        log_level=successor.log_level,
        sent_at=None,  # it did not wait for a worker
        successor=None,
    )
