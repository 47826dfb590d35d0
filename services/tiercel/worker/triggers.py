"""
Triggers that run on a worker: evaluations, which answer once, and streams, which start executions until they are ended.

A trigger type that a worker evaluates has `evaluate(context)`, a coroutine like a task's `run`; one that it listens to
has `events(context)`. The scheduler hears every half a minute that a trigger is still run, and runs it elsewhere when
it does not; what a draining worker ends it hands back.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.expression.plain import plain
from tiercel.flowspec.binder import bind_typed
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.scalars import BROKEN
from tiercel.messages.broadcast import TriggerStopped
from tiercel.messages.topics import TRIGGER_EVENT
from tiercel.messages.trigger_event import TriggerAlive, TriggerEvaluated, TriggerMessage, TriggerReturned
from tiercel.messages.worker_job import TriggerJob
from tiercel.plugins.base import RealtimeTrigger, Trigger
from tiercel.queue.base import Outgoing
from tiercel.worker import metrics
from tiercel.worker.context import TaskContext
from tiercel.worker.runlog import Origin

if TYPE_CHECKING:
    from tiercel.worker.crew import Crew

BEAT: Final = timedelta(seconds=30)
"""How often the scheduler hears that a trigger is still run."""


class _Run:
    """One trigger that is run."""

    __slots__ = ("began", "context", "is_stream", "job", "labels", "task")

    def __init__(self, job: TriggerJob, context: TaskContext, began: datetime) -> None:
        self.job = job
        self.context = context
        self.began = began
        self.labels = metrics.trigger_labels(job, "unknown")
        self.is_stream = False
        self.task: asyncio.Task[None] | None = None


class TriggerRuns:
    """The triggers that one worker runs."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._running: dict[str, _Run] = {}

    @property
    def running_count(self) -> int:
        """How many evaluations run; streams, which wait most of the time, take no slot."""
        return sum(1 for run in self._running.values() if not run.is_stream)

    def take(self, job: TriggerJob) -> None:
        """Begin to run a trigger; an earlier run of it that is still there is ended."""
        self.stop(job.trigger_uid)
        run = _Run(job, self._context(job), self._now)
        self._running[job.trigger_uid] = run
        run.task = asyncio.get_running_loop().create_task(self._work(run))

    def hand_back(self, job: TriggerJob) -> None:
        """Have another worker run a trigger."""
        self._send(TriggerReturned(trigger_uid=job.trigger_uid, at=self._now, worker=self._crew.worker,
                                   evaluation=job.evaluated_at))  # fmt: skip

    def stop(self, trigger_uid: str) -> None:
        """End the run of a trigger; nothing is answered."""
        run = self._running.pop(trigger_uid, None)
        if run is not None:
            run.context.kill()
            if run.task is not None:
                run.task.cancel()

    def hear(self, message: TriggerStopped) -> None:
        """End the run of a trigger, if it is the one that is meant."""
        run = self._running.get(message.trigger_uid)
        if run is None or message.worker not in (None, self._crew.worker):
            return
        if message.evaluation in (None, run.job.evaluated_at):
            self.stop(message.trigger_uid)

    def stop_all(self, *, hand_back: bool = False) -> None:
        """End all runs; with `hand_back` others go on with them."""
        for trigger_uid, run in list(self._running.items()):
            self.stop(trigger_uid)
            if hand_back:
                self.hand_back(run.job)

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
            trigger_id=job.trigger_id,
        )
        settings = surroundings.settings
        variables = {
            **job.context,
            "envs": surroundings.envs,
            "globals": settings.globals,
            "kestra": settings.kestra,
        }
        return TaskContext(surroundings, origin, variables, dialect=job.dialect, log_level=job.log_level)

    async def _work(self, run: _Run) -> None:
        job, context = run.job, run.context
        variables: dict[str, Any] | None = None
        error: str | None = None
        beats: asyncio.Task[None] | None = None
        try:
            trigger = _bound(job)
            run.labels = metrics.trigger_labels(job, trigger.type)
            metrics.TRIGGERS_STARTED.labels(*run.labels).inc()
            run.is_stream = isinstance(trigger, RealtimeTrigger)
            if run.is_stream:
                self._crew.freed()
            beats = asyncio.get_running_loop().create_task(self._beat(job, at_once=run.is_stream))
            if isinstance(trigger, RealtimeTrigger):
                await self._listen(run, trigger)
            else:
                variables = await _evaluated(trigger, context)
                metrics.TRIGGER_EXECUTIONS.labels(*run.labels).inc(variables is not None)
        except Exception as failure:  # whatever a trigger raises is its answer
            error = context.mask.apply(str(failure) or type(failure).__name__)
            metrics.TRIGGER_ERRORS.labels(*run.labels).inc()
        finally:
            if beats is not None:
                beats.cancel()
            metrics.TRIGGERS_ENDED.labels(*run.labels).inc()
            metrics.TRIGGER_SECONDS.labels(*run.labels).observe((self._now - run.began).total_seconds())
            await context.close()
            if self._running.get(job.trigger_uid) is run:
                del self._running[job.trigger_uid]
            self._crew.freed()
        self._answer(job, variables, error=error)

    async def _listen(self, run: _Run, trigger: RealtimeTrigger) -> None:
        """Tell of each event, in order; while too many reports wait no further event is taken."""
        number = 0
        async with contextlib.aclosing(trigger.events(run.context)) as events:  # type: ignore[type-var]  # a generator
            async for found in events:
                number += 1
                metrics.TRIGGER_EXECUTIONS.labels(*run.labels).inc()
                self._answer(run.job, plain(dict(found)), number=number)
                while self._crew.outbox.is_full:
                    await self._crew.outbox.emptied()

    async def _beat(self, job: TriggerJob, *, at_once: bool) -> None:
        if not at_once:
            # The evaluation itself has just been heard of.
            await self._crew.surroundings.clock.sleep(BEAT.total_seconds())  # the beat itself
        while True:
            self._send(TriggerAlive(trigger_uid=job.trigger_uid, at=self._now, worker=self._crew.worker,
                                    evaluation=job.evaluated_at))  # fmt: skip
            await self._crew.surroundings.clock.sleep(BEAT.total_seconds())  # the beat itself

    @property
    def _now(self) -> datetime:
        return self._crew.surroundings.clock.now()

    def _answer(
        self, job: TriggerJob, variables: dict[str, Any] | None, *, error: str | None = None, number: int = 0
    ) -> None:
        self._send(
            TriggerEvaluated(
                trigger_uid=job.trigger_uid,
                at=self._now,
                variables=variables,
                error=error,
                evaluation=job.evaluated_at,
                number=number,
            )
        )

    def _send(self, message: TriggerMessage) -> None:
        self._crew.outbox.send(Outgoing(topic=TRIGGER_EVENT, key=message.trigger_uid, message=message))


async def _evaluated(trigger: Any, context: TaskContext) -> dict[str, Any] | None:
    evaluate = getattr(trigger, "evaluate", None)
    if evaluate is None:
        raise TaskFailed(f"A trigger of type '{trigger.type}' is not evaluated by a worker.")
    found = await evaluate(context)
    return None if found is None else plain(dict(found))


def _bound(job: TriggerJob) -> Any:
    findings = Findings(strict=False)
    trigger = bind_typed(Trigger, msgspec.msgpack.decode(bytes(job.definition)), None, findings)
    if trigger is BROKEN:
        problems = "; ".join(str(problem) for problem in findings.problems(None))
        raise TaskFailed(f"The trigger cannot be evaluated: {problems}")
    return trigger
