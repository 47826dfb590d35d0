"""What the indexer makes of history."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from tiercel.errors import Unavailable
from tiercel.indexer.core.fold import fold
from tiercel.indexer.service import IndexerService
from tiercel.indexer.settings import IndexerSettings
from tiercel.messages.history import ExecutionChanged, ExecutionDeleted, History, LogBatch
from tiercel.messages.topics import HISTORY
from tiercel.model.execution import Execution, LogEntry, OutputRef, TaskRun
from tiercel.model.state import State, StateChange
from tiercel.queue.base import Outgoing
from tiercel.queue.memory import MemoryBackend
from tiercel.repository.base import HistoryBatch, Page, RunChange
from tiercel.repository.memory import MemoryRepository
from tiercel.runtime.adapters import Adapters

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def changed(id_: str = "e", version: int = 1, state: State = State.RUNNING, **fields: object) -> ExecutionChanged:
    execution = Execution(
        id=id_,
        namespace="a",
        flow_id="f",
        flow_revision=1,
        state=state,
        history=(StateChange(state, NOW),),
        version=version,
    )
    return msgspec.structs.replace(ExecutionChanged(execution=execution), **fields)


def run(seq: int, state: State = State.RUNNING) -> TaskRun:
    return TaskRun(id=f"r{seq}", seq=seq, task_id="t", state=state, history=(StateChange(state, NOW),))


def logs(sequence: int, message: str) -> LogBatch:
    entry = LogEntry(namespace="a", flow_id="f", timestamp=NOW, level="INFO", message=message, execution_id="e")
    return LogBatch(producer="w", sequence=sequence, entries=(entry,))


class Stage:
    """An indexer on memory adapters."""

    def __init__(self, repository: MemoryRepository | None = None) -> None:
        self.backend = MemoryBackend()
        self.repository = repository or MemoryRepository()
        adapters = Adapters(
            queue=self.backend,
            storage=None,  # an indexer touches no files
            secrets=None,  # nor secrets
            statestore=self.backend,
            leases=self.backend,
            repository=self.repository,
        )
        self.service = IndexerService(adapters, IndexerSettings(linger_s=0.0))

    async def send(self, *messages: History) -> None:
        await self.backend.emit(*(Outgoing(topic=HISTORY, key="e", message=message) for message in messages))


def test_only_the_newest_version_remains() -> None:
    """Of each execution and task run one row is written, an output of an earlier version is kept."""
    ref = OutputRef(size=2, value={})

    batch = fold(
        [
            changed(version=1, runs=(run(0), run(1))),
            changed(version=2, runs=(run(0, State.SUCCESS),), outputs={0: ref}),
            changed(version=3, state=State.SUCCESS, runs=(run(0, State.WARNING),), removed=(1,)),
            changed(version=2),
        ]
    )

    change = batch.executions["e"]
    assert 3 == change.execution.version
    expected = {0: RunChange(version=3, run=run(0, State.WARNING), output=ref), 1: RunChange(version=3)}
    assert expected == change.runs


def test_an_output_may_come_without_its_run() -> None:
    """Outputs and runs of one version need not be the same ones."""
    ref = OutputRef(size=2, value={})

    batch = fold([changed(outputs={4: ref})])

    assert {4: RunChange(version=1, output=ref)} == batch.executions["e"].runs


def test_a_deletion_ends_what_came_before() -> None:
    """A deleted execution is not written again by an older message."""
    batch = fold([changed(), ExecutionDeleted(execution_id="e"), changed()])

    assert {} == batch.executions
    assert ["e"] == list(batch.deleted)


async def test_history_reaches_the_repository() -> None:
    """What was sent is written and acknowledged."""
    stage = Stage()
    await stage.send(changed(version=1), logs(1, "hello"), changed(version=2))

    async with stage.service:
        written = 3 if await stage.service.write_once() else 0
        while not await stage.repository.confirmed(["e"]):
            await stage.backend.wait(HISTORY, 0.01)
    assert written in (0, 3)
    assert {"e": 2} == await stage.repository.confirmed(["e"])
    assert ["hello"] == [line.message for line in (await stage.repository.logs("main", [], Page())).results]
    assert 0 == next(depth.messages for depth in await stage.backend.depths() if depth.topic == "history")


class Poisoned(MemoryRepository):
    """Cannot write executions of version 13."""

    async def write(self, batch: HistoryBatch) -> None:
        if any(change.execution.version == 13 for change in batch.executions.values()):
            raise ValueError("13 is no version")
        await super().write(batch)


async def test_a_message_that_cannot_be_written_is_buried() -> None:
    """Its neighbours are written, and it is acknowledged too."""
    stage = Stage(Poisoned())
    await stage.send(*(changed(id_=f"e{n}", version=n) for n in range(10, 16)))
    await stage.service._renew()

    await stage.service.write_once()

    assert {10, 11, 12, 14, 15} == set((await stage.repository.confirmed([f"e{n}" for n in range(20)])).values())
    assert ["ValueError: 13 is no version"] == [letter.reason for letter in stage.backend.dead_letters]
    assert 0 == await stage.service.write_once()


class Away(MemoryRepository):
    """Is away for the first two writes."""

    failures = 2

    async def write(self, batch: HistoryBatch) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("The database is away.")
        await super().write(batch)


async def test_a_lost_database_is_waited_for() -> None:
    """Nothing is acknowledged and nothing buried until it is back."""
    stage = Stage(Away())
    await stage.send(changed(version=1))

    async with stage.service:
        while not await stage.repository.confirmed(["e"]):
            await stage.backend.wait(HISTORY, 0.01)

    assert [] == stage.backend.dead_letters
