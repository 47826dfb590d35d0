"""
Evaluations of polling triggers: a job asks once, and the answer is the variables of an execution to create, or none.

A trigger type that a worker can evaluate has `evaluate(context)`, a coroutine like a task's `run`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tiercel.errors import TaskFailed
from tiercel.flowspec.binder import bind_typed
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.scalars import BROKEN
from tiercel.messages.topics import TRIGGER_EVENT
from tiercel.messages.trigger_event import TriggerEvaluated
from tiercel.messages.worker_job import TriggerJob
from tiercel.plugins.base import Trigger
from tiercel.queue.base import Outgoing
from tiercel.worker import metrics
from tiercel.worker.context import TaskContext
from tiercel.worker.core.plain import plain
from tiercel.worker.runlog import Origin

if TYPE_CHECKING:
    from tiercel.worker.crew import Crew

Evaluate = Callable[[TaskContext], Awaitable[Mapping[str, Any] | None]]


class TriggerRuns:
    """The evaluations that run on one worker."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._running: dict[str, tuple[asyncio.Task[None], TaskContext]] = {}

    @property
    def running_count(self) -> int:
        """How many evaluations run."""
        return len(self._running)

    def take(self, job: TriggerJob) -> None:
        """Begin an evaluation; one of the same trigger that still runs is ended."""
        self.stop(job.trigger_uid)
        context = self._context(job)
        task = asyncio.get_running_loop().create_task(self._evaluate(job, context))
        self._running[job.trigger_uid] = (task, context)

    def stop(self, trigger_uid: str) -> None:
        """End the evaluation of a trigger; nothing is answered."""
        found = self._running.pop(trigger_uid, None)
        if found is not None:
            found[1].kill()
            found[0].cancel()

    def stop_all(self) -> None:
        """End all evaluations."""
        for trigger_uid in list(self._running):
            self.stop(trigger_uid)

    def _context(self, job: TriggerJob) -> TaskContext:
        surroundings = self._crew.surroundings
        origin = Origin(
            tenant_id=job.tenant_id,
            namespace=job.namespace,
            flow_id=job.flow_id,
            execution_id="",
            task_id=job.trigger_id,
            task_run_id="",
            attempt=0,
        )
        variables = {**job.context, "envs": surroundings.envs, "globals": surroundings.settings.globals}
        return TaskContext(surroundings, origin, variables)

    async def _evaluate(self, job: TriggerJob, context: TaskContext) -> None:
        variables: dict[str, Any] | None = None
        error: str | None = None
        labels = metrics.trigger_labels(job, _type_of(job))
        metrics.TRIGGERS_STARTED.labels(*labels).inc()
        began = time.perf_counter()
        try:
            found = await _evaluator(job)(context)
            variables = None if found is None else plain(dict(found))
        except Exception as failure:  # whatever a trigger raises is its answer
            error = context.mask.apply(str(failure) or type(failure).__name__)
        finally:
            await context.close()
            metrics.TRIGGERS_ENDED.labels(*labels).inc()
            metrics.TRIGGER_SECONDS.labels(*labels).observe(time.perf_counter() - began)
            if self._running.get(job.trigger_uid, (None, None))[0] is asyncio.current_task():
                del self._running[job.trigger_uid]
            self._crew.freed()
        if error is not None:
            metrics.TRIGGER_ERRORS.labels(*labels).inc()
        elif variables is not None:
            metrics.TRIGGER_EXECUTIONS.labels(*labels).inc()
        now = self._crew.surroundings.clock.now()
        answer = TriggerEvaluated(trigger_uid=job.trigger_uid, at=now, variables=variables, error=error)
        self._crew.outbox.send(Outgoing(topic=TRIGGER_EVENT, key=job.trigger_uid, message=answer))


def _type_of(job: TriggerJob) -> str:
    return str(msgspec.msgpack.decode(bytes(job.definition)).get("type", "unknown"))


def _evaluator(job: TriggerJob) -> Evaluate:
    findings = Findings(strict=False)
    trigger = bind_typed(Trigger, msgspec.msgpack.decode(bytes(job.definition)), None, findings)
    if trigger is BROKEN:
        problems = "; ".join(str(problem) for problem in findings.problems(None))
        raise TaskFailed(f"The trigger cannot be evaluated: {problems}")
    evaluate: Evaluate | None = getattr(trigger, "evaluate", None)
    if evaluate is None:
        raise TaskFailed(f"A trigger of type '{trigger.type}' is not evaluated by a worker.")
    return evaluate
