"""
A WorkingDirectory job: its tasks run one after another in one folder, each reported as a task run of its own.

The folder is filled from the cache, from namespace files and from input files, in this order; it ends with the first
task that fails, unless that one may fail. Then the output files are kept, and the cache is renewed when they changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiercel.errors import TaskFailed, TiercelError
from tiercel.expression.truth import means_true
from tiercel.messages.execution_event import ChildRunReported
from tiercel.messages.worker_job import TaskJob
from tiercel.model import ids
from tiercel.model.backoff import next_try
from tiercel.model.execution import OutputRef
from tiercel.model.state import State
from tiercel.model.task import RetryBehavior
from tiercel.plugins import folder
from tiercel.plugins.base import RunnableTask, Task
from tiercel.plugins.core.flow.workingdirectory import WorkingDirectory
from tiercel.worker.attempt import Outcome, Run, Stop, stopped
from tiercel.worker.context import TaskContext
from tiercel.worker.foldercache import FolderCacheStore
from tiercel.worker.outputs import reference

if TYPE_CHECKING:
    from tiercel.worker.jobrun import Owner

_NEW: Final = RetryBehavior.CREATE_NEW_EXECUTION
"""A retry that the executor makes, by a new execution."""


class FolderRun:
    """The run of a WorkingDirectory."""

    __slots__ = ("_child", "_context", "_job", "_owner", "_stop", "_stopped", "_task", "_warned")

    def __init__(self, task: WorkingDirectory, context: TaskContext, job: TaskJob, owner: Owner) -> None:
        self._task = task
        self._context = context
        self._job = job
        self._owner = owner
        self._stop: Stop | None = None
        self._stopped = asyncio.Event()
        self._child: Run | None = None
        self._warned = False

    def stop(self, reason: Stop) -> None:
        """End the run and the task that runs in it."""
        if self._stop is None:
            self._stop = reason
            self._stopped.set()
            self._context.kill()
            if self._child is not None:
                self._child.stop(reason)

    async def outcome(self) -> Outcome:
        """Run all tasks; say how it ended."""
        try:
            cache = FolderCacheStore(self._context, self._task, self._job.value)
            await cache.restore()
            await folder.put_namespace_files(self._context, self._task.namespace_files)
            if self._task.input_files is not None:
                await folder.put_input_files(self._context, self._task.input_files)
            failed = await self._run_children()
            if self._stop is not None:
                return stopped(self._stop)
            if failed is not None:
                return failed
            files = await folder.collect_output_files(self._context, self._task.output_files)
            await cache.save()
        except TiercelError as error:
            self._context.log("ERROR", str(error))
            return Outcome(state=State.FAILED, error=str(error), exception=error)
        state = State.WARNING if self._warned else State.SUCCESS
        return Outcome(state=state, outputs={"outputFiles": files} if files else None)

    async def _run_children(self) -> Outcome | None:
        for child in self._task.tasks:
            if self._stop is not None:
                return None
            if child.disabled:
                continue
            # Without an answer to its `runIf` nobody knows whether it is to run: the folder fails without a run of it.
            wanted = await self._is_wanted(child, self._context_of(child, 1))
            outcome = await self._run_child(child, wanted=wanted)
            if outcome.lost:
                return outcome
            if outcome.state is State.FAILED and not child.allow_failure:
                return Outcome(state=State.FAILED, error=outcome.error, exception=outcome.exception)
            if outcome.state is State.KILLED:
                return Outcome(state=State.KILLED)
            if outcome.state in (State.FAILED, State.WARNING) and not child.allow_warning:
                self._warned = True
        return None

    async def _run_child(self, child: Task, *, wanted: bool) -> Outcome:
        """Run a task, and again as often as its `retry` says: here, for the folder is nowhere else."""
        began = self._owner.surroundings.clock.now()
        attempt = 1
        while True:
            context = self._context_of(child, attempt)
            report = _Report(self._job, self._owner, child, context.task_run_id)
            report.send(State.RUNNING)
            outcome, ref = await self._attempt(child, context) if wanted else (Outcome(state=State.SKIPPED), None)
            if outcome.lost:
                return outcome
            policy = child.retry if child.retry is not None and child.retry.behavior is not _NEW else None
            if outcome.state is State.FAILED and policy is not None and self._stop is None:
                now = self._owner.surroundings.clock.now()
                due = next_try(policy, attempt, now, began, context.task_run_id, self._job.dialect)
                if due is not None:
                    report.send(State.RETRYING, ref, outcome.error)
                    if not await self._waits((due - now).total_seconds()):
                        return self._killed(report)
                    attempt += 1
                    continue
            if outcome.state is State.SUCCESS and attempt > 1 and policy is not None and policy.warning_on_retry:
                outcome = msgspec.structs.replace(outcome, state=State.WARNING)
            report.send(outcome.state, ref, outcome.error)
            if outcome.state is not State.SKIPPED:
                self._remember(child, outcome.outputs)
            return outcome

    async def _attempt(self, child: Task, context: TaskContext) -> tuple[Outcome, OutputRef | None]:
        try:
            if not isinstance(child, RunnableTask):
                raise TaskFailed(f"A task of type '{child.type}' cannot run inside a WorkingDirectory.")
            outcome = await self._outcome_of(child, context)
            ref = await reference(context, outcome.outputs) if outcome.outputs and not outcome.lost else None
        except TiercelError as error:
            context.log("ERROR", str(error))
            return Outcome(state=State.FAILED, error=str(error), exception=error), None
        context.metrics.send(context.origin, context.surroundings.clock, context.surroundings.metric_sink)
        return outcome, ref

    async def _waits(self, seconds: float) -> bool:
        """Wait for the time of the next attempt; False when the run was stopped meanwhile."""
        # The time between two attempts, which the author of the flow named.
        pause = asyncio.ensure_future(self._owner.surroundings.clock.sleep(seconds))
        end = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((pause, end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            end.cancel()
        return self._stop is None

    def _killed(self, report: _Report) -> Outcome:
        assert self._stop is not None
        outcome = stopped(self._stop)
        if not outcome.lost:
            report.send(outcome.state, None, outcome.error)
        return outcome

    async def _outcome_of(self, child: RunnableTask, context: TaskContext) -> Outcome:
        self._child = Run(child, context)
        if self._stop is not None:
            self._child.stop(self._stop)
        try:
            return await self._child.outcome()
        finally:
            self._child = None

    async def _is_wanted(self, child: Task, context: TaskContext) -> bool:
        if child.run_if is None:
            return True
        return means_true(await context.render(child.run_if, str))

    def _context_of(self, child: Task, attempt: int) -> TaskContext:
        job, parent = self._job, self._context
        at = ids.instant_of(job.task_run_id) or datetime.now(UTC)
        run_id = ids.derived_id(at, job.task_run_id, child.id, job.attempt)
        own = {"id": run_id, "parentId": job.task_run_id, "attemptsCount": attempt - 1}
        taskrun = {**_map(parent.variables.get("taskrun")), **own}
        variables = {
            **parent.variables,
            "task": {"id": child.id, "type": child.type},
            "taskrun": taskrun,
            "workerTaskrun": parent.variables.get("taskrun"),
        }
        level = str(child.log_level) if child.log_level is not None else job.log_level
        return TaskContext(
            parent.surroundings,
            msgspec.structs.replace(parent.origin, task_id=child.id, task_run_id=run_id, attempt=attempt),
            variables,
            dialect=parent.dialect,
            log_level=level,
            mask=parent.mask,
            working_dir=parent.working_dir,
        )

    def _remember(self, child: Task, outputs: Mapping[str, Any] | None) -> None:
        """Let the tasks that follow see the outputs, where the executor would show them: below the iteration values."""
        known: dict[str, Any] = {**_map(self._context.variables.get("outputs"))}
        place = known
        path = [child.id, *self._iterations()]
        for part in path[:-1]:
            place[part] = {**_map(place.get(part))}
            place = place[part]
        place[path[-1]] = self._context.decrypted(dict(outputs or {}))
        variables = dict(self._context.variables)
        variables["outputs"] = known
        self._context.variables = variables

    def _iterations(self) -> list[str]:
        around = self._context.variables.get("parents") or ()
        values = [entry.get("taskrun", {}).get("value") for entry in around if isinstance(entry, Mapping)]
        own = [] if self._job.value is None else [self._job.value]
        return [str(value) for value in reversed(values) if value is not None] + own


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class _Report:
    """Tells the executor of one task of the folder."""

    def __init__(self, job: TaskJob, owner: Owner, child: Task, run_id: str) -> None:
        self._job = job
        self._owner = owner
        self._child = child
        self._run_id = run_id

    def send(self, state: State, outputs: OutputRef | None = None, error: str | None = None) -> None:
        job = self._job
        self._owner.outbox.event(
            ChildRunReported(
                execution_id=job.execution_id,
                at=self._owner.surroundings.clock.now(),
                seq=job.seq,
                attempt=job.attempt,
                worker=self._owner.worker,
                task_id=self._child.id,
                value=job.value,
                state=state,
                outputs=outputs,
                error=error,
                task_run_id=self._run_id,
            ),
            outputs.size if outputs is not None and outputs.value is not None else 0,
        )
