"""Executors with an indexer's hand beside them, on any backend; the worker is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.contract.backends import MemoryContract, PostgresContract
from tests.patience import until
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.executor.service import ExecutorService
from tiercel.executor.settings import ExecutorSettings
from tiercel.flowspec.parse import parse_flow
from tiercel.indexer.core.fold import fold
from tiercel.messages.execution_event import CreateExecution, Event, TaskFinished
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import Execution, OutputRef
from tiercel.model.state import State
from tiercel.queue.base import LANE_DEFAULT, Outgoing
from tiercel.repository.memory import MemoryRepository
from tiercel.runtime.adapters import Adapters
from tiercel.secrets.base import Secrets
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage.local import LocalStorage

LOOK_S: Final = 0.01
"""Between two looks of a worker that is not woken."""

Answer = Callable[[TaskJob], State]


class Workshop:
    """What executors need, and what a test does to them."""

    def __init__(self, backend: MemoryContract | PostgresContract, folder: Path) -> None:
        self.backend = backend
        self.queue, self.state, self.leases = backend.queue, backend.state, backend.leases
        self.definitions = MemoryDefinitions()
        self.repository = MemoryRepository()
        self.storage = LocalStorage(folder)
        self.secrets: Secrets = EnvironmentSecrets({})
        self.claimed: list[TaskJob] = []

    def executor(self, **settings: Any) -> ExecutorService:
        adapters = Adapters(
            queue=self.queue, statestore=self.state, leases=self.leases, definitions=self.definitions,
            repository=self.repository, storage=self.storage, secrets=self.secrets,
        )  # fmt: skip
        return ExecutorService(adapters, ExecutorSettings(wait_s=0.05, **settings))

    async def deploy(self, text: str) -> None:
        await self.definitions.create(parse_flow(text))

    async def create(self, execution_id: str, flow_id: str = "f", at: datetime | None = None) -> None:
        await self.send(
            CreateExecution(
                execution_id=execution_id,
                at=at or datetime.now(UTC),
                namespace="company.team",
                flow_id=flow_id,
                flow_revision=1,
            )
        )

    async def send(self, event: Event) -> None:
        await self.queue.emit(Outgoing(topic=EXECUTION_EVENT, key=event.execution_id, message=event))

    async def work(self, answer: Answer = lambda job: State.SUCCESS) -> None:
        """Answer every job, until cancelled."""
        while True:
            jobs = await self.queue.claim("w", [LANE_DEFAULT], 100)
            for job in jobs:
                if isinstance(job, TaskJob):
                    self.claimed.append(job)
                    await self._finish(job, answer(job))
            await asyncio.sleep(0 if jobs else LOOK_S)  # a worker that claims by looking

    async def _finish(self, job: TaskJob, state: State) -> None:
        outputs = {"of": job.task_id, "value": job.value}
        await self.send(
            TaskFinished(
                execution_id=job.execution_id,
                at=datetime.now(UTC),
                seq=job.seq,
                attempt=job.attempt,
                worker="w",
                state=state,
                outputs=OutputRef(size=len(msgspec.json.encode(outputs)), value=outputs),
            )
        )

    async def index(self) -> None:
        """Write history, as an indexer does."""
        leases = await self.leases.take("indexer", "i", level=HISTORY.level, ttl_s=60)
        while found := await self.queue.read(HISTORY, [lease.partition for lease in leases], count=1000):
            await self.repository.write(fold(one.message for one in found if one.message is not None))
            assert await self.queue.acknowledge(HISTORY, found, leases)

    async def forget(self, execution_id: str) -> None:
        """Forget an ended execution, as an executor does an hour after its end."""
        await self.index()
        await self.until(lambda: self._has_done(execution_id))
        loaded = (await self.state.load([execution_id]))[execution_id]
        version = loaded.head.execution.version
        assert {execution_id: version} == await self.repository.confirmed([execution_id])
        await self.state.forget_ended([(execution_id, version)])
        assert {} == await self.state.load([execution_id])

    async def _has_done(self, execution_id: str) -> bool:
        loaded = (await self.state.load([execution_id])).get(execution_id)
        return loaded is not None and loaded.head.done

    async def execution(self, execution_id: str) -> Execution | None:
        loaded = (await self.state.load([execution_id])).get(execution_id)
        return loaded.head.execution if loaded is not None else None

    async def ended(self, execution_id: str, after_version: int = 0) -> Execution:
        """Wait until an execution is over, and return it."""

        async def is_over() -> bool:
            loaded = (await self.state.load([execution_id])).get(execution_id)
            return loaded is not None and loaded.head.done and loaded.head.execution.version > after_version

        await self.until(is_over)
        found = await self.execution(execution_id)
        assert found is not None
        return found

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition of the backend."""
        await until(condition, "the condition")

    async def runs(self, execution_id: str) -> list[tuple[str, str | None, State]]:
        """Return task, value and state of the task runs, in order."""
        return [(one.run.task_id, one.run.value, one.run.state) for one in await self.state.runs(execution_id)]
