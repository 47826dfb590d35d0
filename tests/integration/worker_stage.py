"""A worker on a queue in memory, with a storage: what tests send it, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.patience import PATIENCE_S
from tiercel.messages.broadcast import KillRun
from tiercel.messages.execution_event import ExecutionEvent, TaskFinished
from tiercel.messages.history import LogBatch
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT, HISTORY
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import LogEntry
from tiercel.queue.base import Outgoing, OutgoingJob
from tiercel.queue.memory import MemoryBackend
from tiercel.runtime.adapters import Adapters
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage.local import LocalStorage
from tiercel.worker.service import WorkerService
from tiercel.worker.settings import WorkerSettings

RETURN = "io.kestra.plugin.core.debug.Return"
LOG = "io.kestra.plugin.core.log.Log"
SLEEP = "io.kestra.plugin.core.flow.Sleep"
SHELL = "io.kestra.plugin.scripts.shell.Commands"
FOLDER = "io.kestra.plugin.core.flow.WorkingDirectory"


def job_of(definition: dict[str, Any], execution: str = "e1", **fields: Any) -> TaskJob:
    """Make a job of a task."""
    return TaskJob(
        **{
            "tenant_id": "main",
            "namespace": "company.team",
            "flow_id": "flow",
            "flow_revision": 1,
            "execution_id": execution,
            "seq": 0,
            "attempt": 1,
            "task_id": definition["id"],
            "task_run_id": f"run-{execution}",
            "definition": msgspec.Raw(msgspec.msgpack.encode(definition)),
            "context": {
                "flow": {"id": "flow", "namespace": "company.team"},
                "execution": {"id": execution},
                "inputs": {"name": "World"},
            },
            **fields,
        }
    )


class World:
    """A queue, a storage, and a worker between them."""

    def __init__(self, tmp_path: Path, backend: MemoryBackend | None = None, **settings: Any) -> None:
        self.queue = backend or MemoryBackend()
        self.storage = LocalStorage(tmp_path / "storage")
        adapters = Adapters(
            queue=self.queue, storage=self.storage, secrets=EnvironmentSecrets({}), clock=self.queue.clock
        )
        values = {"temporary_folder": str(tmp_path / "folders"), "kill_grace_s": 5.0, **settings}
        self.worker = WorkerService(adapters, WorkerSettings(**values))

    async def send(self, definition: dict[str, Any], execution: str = "e1", **fields: Any) -> None:
        async with self.queue.transaction([]) as unit:
            unit.send(OutgoingJob(job=job_of(definition, execution, **fields)))

    async def kill(self, execution: str = "e1", **fields: Any) -> None:
        message = KillRun(execution_id=execution, **fields)
        await self.queue.emit(Outgoing(topic=BROADCAST, key="", message=message))

    async def events(self) -> list[ExecutionEvent]:
        found = await self.queue.read(EXECUTION_EVENT, range(self.queue.partitions), count=100_000)
        return [delivery.message for delivery in found if delivery.message is not None]

    async def until(self, holds: Callable[[list[ExecutionEvent]], bool]) -> list[ExecutionEvent]:
        """Wait until what was reported is enough."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds(events := await self.events()):
                await self.queue.wait(EXECUTION_EVENT, 1.0)
        return events

    async def finished(self, execution: str = "e1") -> TaskFinished:
        """Wait until the execution's task has ended."""
        events = await self.until(lambda events: any(_is_end(event, execution) for event in events))
        return next(event for event in events if isinstance(event, TaskFinished) and event.execution_id == execution)

    async def logs(self) -> list[tuple[str, str]]:
        return [(entry.level, entry.message) for entry in await self.lines()]

    async def lines(self) -> list[LogEntry]:
        found = await self.queue.read(HISTORY, range(self.queue.partitions), count=100_000)
        batches = [delivery.message for delivery in found if isinstance(delivery.message, LogBatch)]
        return [entry for batch in batches for entry in batch.entries]


class SlowClaims(MemoryBackend):
    """A queue whose claims come back when they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def claim(self, *args: Any, **more: Any) -> Any:
        jobs = await super().claim(*args, **more)
        if jobs:
            self.reached.set()
            await self.go.wait()
        return jobs


def _is_end(event: ExecutionEvent, execution: str) -> bool:
    return isinstance(event, TaskFinished) and event.execution_id == execution


async def heard(world: World, execution: str) -> None:
    """Let the worker take in a broadcast: it waits for nothing but its turn."""
    for _ in range(100):
        await asyncio.sleep(0)  # the worker has its turn
    assert (execution, 0) in world.worker.crew._kills
