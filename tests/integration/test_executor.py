"""The executor service on a queue in memory: batches, poison, takeover, lost workers, concurrency limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.patience import until
from tests.statemachine.flows import flow, group
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.executor.handlers import execution_event as handler
from tiercel.executor.service import ExecutorService
from tiercel.executor.settings import ExecutorSettings
from tiercel.flowspec.parse import parse_flow
from tiercel.messages.execution_event import CreateExecution, TaskFinished
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.messages.worker_job import TaskJob
from tiercel.model.live import HeadRecord
from tiercel.model.state import State
from tiercel.queue.base import LANE_DEFAULT, Outgoing
from tiercel.queue.memory import MemoryBackend
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.clock import Clock
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage.local import LocalStorage
from tiercel.testing.virtual_time import LoopClock, run_virtual


class Desk:
    """An executor's surroundings, with a worker played by the test."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.backend = MemoryBackend(clock)
        self.definitions = MemoryDefinitions()
        self.adapters = Adapters(
            queue=self.backend, statestore=self.backend, leases=self.backend, definitions=self.definitions,
            storage=LocalStorage(folder), secrets=EnvironmentSecrets({}), clock=self.backend.clock,
        )  # fmt: skip

    def executor(self, **settings: float) -> ExecutorService:
        return ExecutorService(self.adapters, ExecutorSettings(wait_s=0.05, **settings))

    async def deploy(self, text: str) -> None:
        await self.definitions.create(parse_flow(text))

    async def create(self, execution_id: str, flow_id: str = "f") -> None:
        message = CreateExecution(
            execution_id=execution_id, at=datetime.now(UTC), namespace="company.team", flow_id=flow_id, flow_revision=1
        )
        await self.backend.emit(Outgoing(topic=EXECUTION_EVENT, key=execution_id, message=message))

    async def claim(self, count: int = 100, worker: str = "w") -> list[TaskJob]:
        jobs = await self.backend.claim(worker, [LANE_DEFAULT], count)
        return [job for job in jobs if isinstance(job, TaskJob)]

    async def finish(self, job: TaskJob, state: State = State.SUCCESS, worker: str = "w") -> None:
        message = TaskFinished(
            execution_id=job.execution_id, at=datetime.now(UTC), seq=job.seq, attempt=job.attempt, worker=worker,
            state=state,
        )  # fmt: skip
        await self.backend.emit(Outgoing(topic=EXECUTION_EVENT, key=job.execution_id, message=message))

    async def work(self) -> None:
        """Let the worker answer everything, until cancelled."""
        while True:
            for job in await self.claim():
                await self.finish(job)
            await asyncio.sleep(0)  # the executor has its turn

    async def head(self, execution_id: str) -> HeadRecord | None:
        found = await self.backend.load([execution_id])
        return found[execution_id].head if found else None

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition of the backend."""
        await until(lambda: _true(condition()), "the condition")

    async def ended(self, *execution_ids: str) -> list[State]:
        """Wait until executions are over, and return their states."""
        return [await until(partial(self._end, each), f"'{each}' to end") for each in execution_ids]

    async def _end(self, execution_id: str) -> State | None:
        head = await self.head(execution_id)
        return head.execution.state if head is not None and head.done else None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_many_executions_end_side_by_side(desk: Desk) -> None:
    """Events of many executions share batches and do not disturb each other."""
    await desk.deploy(flow("a", group("Parallel", "p", "x", "y"), "z"))
    names = [f"e{number}" for number in range(200)]

    async with desk.executor():
        worker = asyncio.create_task(desk.work())
        for name in names:
            await desk.create(name)
        states = await desk.ended(*names)
        worker.cancel()

    assert {State.SUCCESS} == set(states)


async def test_a_repeated_create_makes_one_execution(desk: Desk) -> None:
    """A create that is sent again is known by its id."""
    await desk.deploy(flow("a"))

    async with desk.executor():
        await desk.create("e1")
        await desk.create("e2")
        await desk.create("e1")
        worker = asyncio.create_task(desk.work())
        assert [State.SUCCESS, State.SUCCESS] == await desk.ended("e1", "e2")
        await desk.create("e1")
        await desk.create("e3")
        assert [State.SUCCESS] == await desk.ended("e3")
        worker.cancel()

    head = await desk.head("e1")
    assert head is not None
    assert [State.CREATED, State.RUNNING, State.SUCCESS] == [change.state for change in head.execution.history]


async def test_an_execution_of_an_unknown_flow_is_dropped(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The process' log says so, and what comes after it is not held up."""
    await desk.deploy(flow("a"))
    async with desk.executor():
        await desk.create("e1", "nowhere")
        await desk.create("e2")
        await desk.until(lambda: desk.backend._jobs)

    assert await desk.head("e1") is None
    assert ["e1"] == [r.execution_id for r in caplog.records if getattr(r, "action", "") == "execution_dropped"]


async def test_another_executor_goes_on_where_one_has_stopped(desk: Desk) -> None:
    """A takeover reads live state from the store; nothing is lost or sent twice."""
    await desk.deploy(flow("a", "b"))
    async with desk.executor():
        await desk.create("e1")
        await desk.until(lambda: desk.backend._jobs)
    [job] = await desk.claim()
    await desk.finish(job)

    async with desk.executor():
        worker = asyncio.create_task(desk.work())
        assert [State.SUCCESS] == await desk.ended("e1")
        worker.cancel()

    assert ["a", "b"] == [record.run.task_id for record in await desk.backend.runs("e1")]


def test_what_a_silent_worker_held_is_given_to_another(tmp_path: Path) -> None:
    """After the time-out the attempt is over and the next one is sent."""

    async def main() -> tuple[list[int], list[State]]:
        desk = Desk(tmp_path, LoopClock())
        await desk.deploy(flow("a"))
        async with desk.executor():
            await desk.create("e1")
            await desk.until(lambda: desk.backend._jobs)
            [job] = await desk.claim(worker="silent")
            await desk.until(lambda: desk.backend._jobs)
            [again] = await desk.claim(worker="other")
            await desk.finish(again, worker="other")
            return [job.attempt, again.attempt], await desk.ended("e1")

    assert ([1, 2], [State.SUCCESS]) == run_virtual(main())


async def test_at_most_so_many_run_at_the_same_time(desk: Desk) -> None:
    """With a limit of two, the third waits QUEUED and runs when one has ended."""
    await desk.deploy(flow("a", concurrency={"limit": 2}))
    async with desk.executor():
        for name in ("e1", "e2", "e3"):
            await desk.create(name)

        async def one_is_queued() -> bool:
            heads = [await desk.head(name) for name in ("e1", "e2", "e3")]
            return [head.execution.state for head in heads if head].count(State.QUEUED) == 1

        await desk.until(one_is_queued)
        jobs = await desk.claim()
        assert 2 == len(jobs)
        worker = asyncio.create_task(desk.work())
        for job in jobs:
            await desk.finish(job)
        assert [State.SUCCESS] * 3 == await desk.ended("e1", "e2", "e3")
        worker.cancel()


async def test_an_event_that_cannot_be_decided_fails_only_its_execution(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch goes on without the culprit, and the message is a dead letter."""
    await desk.deploy(flow("a"))
    decide = handler.decide

    def broken(base: object, event: object, facts: object) -> object:
        if isinstance(event, TaskFinished) and event.execution_id == "bad":
            raise ZeroDivisionError("a bug")
        return decide(base, event, facts)

    monkeypatch.setattr(handler, "decide", broken)
    async with desk.executor():
        worker = asyncio.create_task(desk.work())
        await desk.create("bad")
        await desk.create("good")
        assert [State.SUCCESS] == await desk.ended("good")
        await desk.until(lambda: desk.backend.dead_letters)
        worker.cancel()
        head = await desk.head("bad")

    assert head is not None
    assert head.execution.state in (State.KILLING, State.FAILED)
    assert "a bug" in (head.execution.error or "")


async def test_an_execution_that_cannot_be_created_is_shown_as_failed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has asked for it learns why there is none."""
    await desk.deploy(flow("a"))
    decide = handler.decide

    def broken(base: object, event: object, facts: object) -> object:
        if isinstance(event, CreateExecution) and event.failed is None:
            raise ZeroDivisionError("a bug")
        return decide(base, event, facts)

    monkeypatch.setattr(handler, "decide", broken)
    async with desk.executor():
        await desk.create("bad")
        states = await desk.ended("bad")
        head = await desk.head("bad")

    assert [State.FAILED] == states
    assert head is not None
    assert "The event CreateExecution could not be processed: a bug" == head.execution.error


async def test_a_pause_ends_at_its_time(desk: Desk) -> None:
    """Timers are kept by the executor and survive its memory."""
    await desk.deploy(flow({"id": "p", "type": "io.kestra.plugin.core.flow.Pause", "pauseDuration": "PT0.2S"}))
    async with desk.executor():
        began = datetime.now(UTC)
        await desk.create("e1")
        assert [State.SUCCESS] == await desk.ended("e1")

    assert datetime.now(UTC) - began >= timedelta(seconds=0.2)


async def _true(value: object) -> bool:
    return bool(await value) if asyncio.iscoroutine(value) else bool(value)
