"""
One job from its definition to its report.

Whatever happens, exactly one report leaves: how the task ended, or, when the worker gives up on it, that it was lost
and is to be run again. A task that does not end when it is stopped is left behind after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Protocol

import msgspec

from tiercel.errors import TaskFailed, TiercelError
from tiercel.messages.execution_event import ChildRunReported, Event, TaskFinished, WorkerLost
from tiercel.messages.successor import SuccessorResult
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import OutputRef
from tiercel.model.state import State
from tiercel.plugins.base import RunnableTask, Task
from tiercel.plugins.core.flow.workingdirectory import WorkingDirectory
from tiercel.worker import metrics
from tiercel.worker.attempt import Outcome, Run, Stop, stopped
from tiercel.worker.binding import Binder
from tiercel.worker.context import DynamicRun, TaskContext
from tiercel.worker.folderrun import FolderRun
from tiercel.worker.logfile import LogFile
from tiercel.worker.outputs import reference
from tiercel.worker.runlog import Origin
from tiercel.worker.surroundings import Surroundings
from tiercel.worker.taskcache import TaskOutputCache
from tiercel.worker.variables import has_encrypted, variables_of

log = logging.getLogger(__name__)


class Reports(Protocol):
    """Where a run's events go."""

    def event(self, event: Event, size: int = 0, /) -> None:
        """Tell of an event whose outputs have so many bytes."""
        ...


class Owner(Protocol):
    """Who has a run: what it uses of the worker, and who is told of its end."""

    @property
    def worker(self) -> str: ...
    @property
    def surroundings(self) -> Surroundings: ...
    @property
    def binder(self) -> Binder: ...
    @property
    def outbox(self) -> Reports: ...
    def ended(self, run: JobRun) -> None:
        """Hear that a run has reported."""
        ...

    def succeeded(self, job: TaskJob, outputs: OutputRef | None) -> SuccessorResult | None:
        """Run what may be run after a job that has ended well; return what came of it."""
        ...


class JobRun:
    """A job at work."""

    __slots__ = (
        "_asyncio_task",
        "_context",
        "_handle",
        "_labels",
        "_log_file",
        "_run",
        "_started",
        "_stop",
        "job",
        "owner",
        "reported",
    )  # fmt: skip

    def __init__(self, job: TaskJob, owner: Owner) -> None:
        self.job = job
        self.owner = owner
        self.reported = False
        self._started = owner.surroundings.clock.now()
        self._labels: tuple[str, ...] = ()
        self._stop: Stop | None = None
        self._run: Run | FolderRun | None = None
        self._context: TaskContext | None = None
        self._log_file: LogFile | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._asyncio_task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin to run."""
        self._asyncio_task = asyncio.get_running_loop().create_task(self.work())
        return self._asyncio_task

    def stop(self, reason: Stop) -> None:
        """End the run; it reports by itself, or is left behind after a while."""
        if self._stop is not None or self.reported:
            return
        self._stop = reason
        grace = self.owner.surroundings.settings.kill_grace_s
        self._handle = asyncio.get_running_loop().call_later(grace, self._abandon)
        if self._run is not None:
            self._run.stop(reason)
        elif self._context is not None:
            self._context.kill()

    def _abandon(self) -> None:
        if self.reported or self._stop is None:
            return
        log.warning(
            "a stopped task does not end and is left behind",
            extra={"action": "task_abandoned", "execution_id": self.job.execution_id, "task_id": self.job.task_id},
        )
        self._report(stopped(self._stop), None, None)
        if self._asyncio_task is not None:
            self._asyncio_task.cancel()

    async def work(self) -> None:
        """Run the job to its end and report."""
        job = self.job
        try:
            task = self.owner.binder.task(job.definition)
        except TiercelError as error:
            self._count_start("unknown")
            self._open_context(None)
            self._refuse(str(error))
            return
        self._count_start(task.type)
        context = self._open_context(task)
        try:
            outcome = await self._outcome(task, context)
            ref, outcome = await self._outputs(outcome, context)
            log_file = None if self._log_file is None else await self._log_file.keep(context)
            if not self.reported:
                self._report(outcome, ref, log_file)
        except Exception as error:  # a disk that is full, or a bug of ours: the task run must end all the same
            log.exception("a job failed outside of its task", extra={"action": "job_failed", "task_id": job.task_id})
            if not self.reported:
                self._refuse(context.mask.apply(f"{type(error).__name__}: {error}"))
        finally:
            if self._handle is not None:
                self._handle.cancel()
            with contextlib.suppress(OSError):
                await context.close()

    def _count_start(self, task_type: str) -> None:
        self._labels = metrics.task_labels(self.job, task_type)
        metrics.STARTED.labels(*self._labels).inc()
        if self.job.sent_at is not None:
            seconds = max(0.0, (self._started - self.job.sent_at).total_seconds())
            metrics.QUEUED_SECONDS.labels(*self._labels).observe(seconds)
            metrics.WAIT_SECONDS.observe(seconds)

    def _count_end(self, outcome: Outcome, seconds: float) -> None:
        if outcome.lost:
            metrics.LOST.inc()
            return
        labels = self._labels or metrics.task_labels(self.job, "unknown")
        metrics.ENDED.labels(*labels, str(outcome.state)).inc()
        metrics.ENDED_SECONDS.labels(*labels, str(outcome.state)).observe(seconds)
        metrics.TASK_SECONDS.observe(seconds)
        if outcome.timed_out:
            metrics.TIMEOUTS.labels(*labels).inc()

    def _open_context(self, task: Task | None) -> TaskContext:
        job = self.job
        surroundings = self.owner.surroundings
        origin = Origin(
            tenant_id=job.tenant_id,
            namespace=job.namespace,
            flow_id=job.flow_id,
            execution_id=job.execution_id,
            task_id=job.task_id,
            task_run_id=job.task_run_id,
            attempt=job.attempt,
        )
        if task is not None and task.log_to_file:
            self._log_file = LogFile(surroundings)
            surroundings = self._log_file.surroundings
        variables = {} if task is None else variables_of(job, task, surroundings)
        self._context = TaskContext(surroundings, origin, variables, dialect=job.dialect, log_level=job.log_level)
        self._context.reporter = self._child
        return self._context

    def _refuse(self, message: str) -> None:
        assert self._context is not None
        self._context.log("ERROR", message)
        self._report(Outcome(state=State.FAILED, error=message), None, None)

    async def _outcome(self, task: Task, context: TaskContext) -> Outcome:
        if self._stop is not None:
            return stopped(self._stop)
        try:
            variables: Any = context.variables
            for root in ("inputs", "outputs", "trigger", "parent", "parents"):
                if has_encrypted(variables.get(root)):
                    variables[root] = context.decrypted(variables[root])
            if task.log_level is not None and "{" in str(task.log_level):
                context.lines.at_least(await context.render(str(task.log_level)))
        except TiercelError as error:
            context.log("ERROR", str(error))
            return Outcome(state=State.FAILED, error=str(error))
        if isinstance(task, WorkingDirectory):
            self._run = FolderRun(task, context, self.job, self.owner)
            return await self._run.outcome()
        assert isinstance(task, RunnableTask)
        self._run = run = Run(task, context)
        if task.task_cache is None or not task.task_cache.enabled:
            return await run.outcome()
        return await self._cached(run, TaskOutputCache(context, task.task_cache, self._definition()))

    def _definition(self) -> dict[str, Any]:
        definition: dict[str, Any] = msgspec.msgpack.decode(bytes(self.job.definition))
        return definition

    async def _cached(self, run: Run, cache: TaskOutputCache) -> Outcome:
        outputs = await cache.find()
        if outputs is not None:
            return Outcome(state=State.SUCCESS, outputs=outputs)
        outcome = await run.outcome()
        if outcome.state is State.SUCCESS:
            await cache.keep(outcome.outputs)
        return outcome

    def _child(self, child: DynamicRun) -> None:
        """Tell of a run that a task has made up while it runs."""
        job, owner = self.job, self.owner
        owner.outbox.event(
            ChildRunReported(
                execution_id=job.execution_id,
                at=owner.surroundings.clock.now(),
                seq=job.seq,
                attempt=job.attempt,
                worker=owner.worker,
                task_id=child.task_id,
                value=child.value,
                state=child.state,
                outputs=child.outputs,
                error=child.error,
                dynamic=True,
            )
        )

    async def _outputs(self, outcome: Outcome, context: TaskContext) -> tuple[OutputRef | None, Outcome]:
        if not outcome.outputs or outcome.lost:
            return None, outcome
        try:
            return await reference(context, outcome.outputs), outcome
        except TaskFailed as error:
            context.log("ERROR", str(error))
            return None, Outcome(state=State.FAILED, error=str(error))
        except TiercelError as error:
            context.log("ERROR", f"The outputs cannot be stored: {error}")
            return None, Outcome(state=State.FAILED, error=f"The outputs cannot be stored: {error}")

    def _report(self, outcome: Outcome, ref: OutputRef | None, log_file: str | None) -> None:
        self.reported = True
        job, owner = self.job, self.owner
        now = owner.surroundings.clock.now()
        if self._context is not None:
            context = self._context
            context.metrics.send(context.origin, owner.surroundings.clock, owner.surroundings.metric_sink)
        if outcome.lost:
            owner.outbox.event(
                WorkerLost(execution_id=job.execution_id, at=now, seq=job.seq, attempt=job.attempt, worker=owner.worker)
            )
        else:
            result = owner.succeeded(job, ref) if outcome.state is State.SUCCESS else None
            refs = (ref, result.outputs if result is not None else None)
            owner.outbox.event(
                TaskFinished(
                    execution_id=job.execution_id,
                    at=now,
                    seq=job.seq,
                    attempt=job.attempt,
                    worker=owner.worker,
                    state=outcome.state,
                    outputs=ref,
                    error=outcome.error,
                    started_at=self._started,
                    log_file=log_file,
                    successor=result,
                ),
                sum(each.size for each in refs if each is not None and each.value is not None),
            )
        self._count_end(outcome, (now - self._started).total_seconds())
        owner.ended(self)
