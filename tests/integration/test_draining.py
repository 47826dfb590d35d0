"""What a service does between the wish that it stops and its end, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.executor.service import ExecutorService
from tiercel.executor.settings import ExecutorSettings
from tiercel.indexer.service import IndexerService
from tiercel.messages.history import ExecutionDeleted
from tiercel.messages.topics import HISTORY
from tiercel.queue.base import Outgoing
from tiercel.queue.memory import MemoryBackend
from tiercel.repository.memory import MemoryRepository
from tiercel.runtime.adapters import Adapters
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage.local import LocalStorage
from tiercel.webserver import sse

TURNS = 200
"""Turns of the loop in which whoever could end would have ended: nothing here waits for a disk or a network."""


class SlowRepository(MemoryRepository):
    """Writes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def write(self, batch: Any) -> None:
        self.asked.set()
        await self.let.wait()
        await super().write(batch)


def adapters_of(backend: MemoryBackend, folder: Path, repository: MemoryRepository | None = None) -> Adapters:
    return Adapters(
        queue=backend,
        storage=LocalStorage(folder),
        secrets=EnvironmentSecrets({}),
        statestore=backend,
        leases=backend,
        definitions=MemoryDefinitions(),
        repository=repository or MemoryRepository(),
    )


async def test_an_indexer_finishes_its_batch_before_it_gives_its_partitions_back(tmp_path: Path) -> None:
    """Else the next owner would write the same once more, and the leases would be lost under the batch."""
    backend, repository = MemoryBackend(), SlowRepository()
    indexer = IndexerService(adapters_of(backend, tmp_path, repository))
    async with asyncio.timeout(PATIENCE_S):
        working = asyncio.create_task(indexer.run())
        await indexer.ready.wait()
        await backend.emit(Outgoing(topic=HISTORY, key="e", message=ExecutionDeleted(execution_id="e")))
        await repository.asked.wait()

        indexer.request_stop()
        for _ in range(TURNS):
            await asyncio.sleep(0)  # whatever can go on goes on
        ended, held = working.done(), await other_takes(backend, "indexer")
        repository.let.set()
        await working

    assert (False, []) == (ended, held)
    assert [] == await backend.read(HISTORY, range(backend.partitions), count=10)
    assert backend.partitions == len(await other_takes(backend, "indexer"))


async def other_takes(backend: MemoryBackend, service: str) -> list[int]:
    """Return the partitions that another instance can take now."""
    await backend.announce(service, "other", level=1)
    taken = await backend.take(service, "other", level=1, ttl_s=10)
    return [lease.partition for lease in taken]


async def test_partitions_that_an_executor_gives_back_are_taken_at_once(tmp_path: Path) -> None:
    """Not at the next renewal: an execution must not stand still because a process is replaced."""
    backend = MemoryBackend()
    adapters = adapters_of(backend, tmp_path)
    settings = ExecutorSettings(lease_renew_s=3600.0)
    old, fresh = ExecutorService(adapters, settings), ExecutorService(adapters, settings)
    async with asyncio.timeout(PATIENCE_S):
        working = [asyncio.create_task(old.run())]
        await old.ready.wait()
        working.append(asyncio.create_task(fresh.run()))
        await fresh.ready.wait()
        assert {} == fresh._leases

        old.request_stop()
        await working[0]
        while len(fresh._leases) < backend.partitions:  # noqa: ASYNC110 nobody signals what is awaited here
            await asyncio.sleep(0)  # both executors have their turn
        fresh.request_stop()
        await working[1]


async def test_a_live_stream_ends_when_its_process_drains() -> None:
    """Its listener finds another process; the source of its events is closed."""
    draining, closed = asyncio.Event(), asyncio.Event()

    async def events() -> AsyncGenerator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    stream = sse._until(draining, events())
    async with asyncio.timeout(PATIENCE_S):
        first = await anext(stream)
        draining.set()
        rest = [each async for each in stream]

    assert (b"first", [], True) == (first, rest, closed.is_set())
