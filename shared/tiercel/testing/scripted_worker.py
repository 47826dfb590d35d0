"""A worker that does what a test says: it claims jobs as a worker does, and answers them from a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tiercel.messages.execution_event import TaskFinished
from tiercel.messages.topics import EXECUTION_EVENT, WORKER_EVENT, WORKER_JOB
from tiercel.messages.worker_event import WorkerHeartbeat
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import OutputRef
from tiercel.model.state import State
from tiercel.queue.base import LANE_DEFAULT, Outgoing
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.service import Service

HEARTBEAT_S: Final = 3.0
"""As often as a worker does: one that is silent is taken for lost."""
WAIT_S: Final = 1.0
"""How long it waits for a job before it asks again."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ends, and after how many seconds."""

    state: State = State.SUCCESS
    outputs: dict[str, Any] | None = None
    error: str | None = None
    after_s: float = 0.0


class ScriptedWorker(Service):
    """Runs no task: `script` says how each job ends. `jobs` holds what was claimed, in order."""

    name = "worker"

    def __init__(
        self, adapters: Adapters, script: Callable[[TaskJob], Answer] | None = None, *, slots: int = 16
    ) -> None:
        super().__init__()
        self._queue, self._clock = adapters.queue, adapters.clock
        self._script = script or (lambda job: Answer())
        self._slots = slots
        self._ended = 0
        self.jobs: list[TaskJob] = []

    async def start(self) -> None:
        """Begin to claim jobs."""
        self.spawn("jobs", self._work())
        self.spawn("heartbeats", self._beat())

    async def _work(self) -> None:
        while not self.stopping:
            claimed = await self._queue.claim(self.name, [LANE_DEFAULT], self._slots)
            for job in claimed:
                if isinstance(job, TaskJob):
                    self.jobs.append(job)
                    self.spawn(f"job-{job.task_id}", self._answer(job))
            if not claimed:
                await self._queue.wait(WORKER_JOB, WAIT_S)  # a job wakes it; the time is a safety net

    async def _beat(self) -> None:
        while not self.stopping:
            beat = WorkerHeartbeat(worker=self.name, lanes=(LANE_DEFAULT,), slots=self._slots, ended=self._ended)
            await self._queue.emit(Outgoing(topic=WORKER_EVENT, key=self.name, message=beat))
            await self._clock.sleep(HEARTBEAT_S)  # the beat itself

    async def _answer(self, job: TaskJob) -> None:
        answer = self._script(job)
        if answer.after_s:
            await self._clock.sleep(answer.after_s)  # what the script asks for
        outputs = None
        if answer.outputs is not None:
            outputs = OutputRef(size=len(msgspec.json.encode(answer.outputs)), value=answer.outputs)
        event = TaskFinished(
            execution_id=job.execution_id,
            at=self._clock.now(),
            seq=job.seq,
            attempt=job.attempt,
            worker=self.name,
            state=answer.state,
            outputs=outputs,
            error=answer.error,
        )
        self._ended += 1
        await self._queue.emit(Outgoing(topic=EXECUTION_EVENT, key=job.execution_id, message=event))
