"""Commands to executions that the state store has forgotten, and creates that come again after that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.integration.workshop import Workshop
from tests.statemachine.flows import flow, group, task
from tiercel.errors import Unavailable
from tiercel.messages.execution_event import LabelsRequested, ReplayRequested, RestartRequested
from tiercel.model.execution import Execution
from tiercel.model.state import State
from tiercel.repository.memory import MemoryRepository

TEXT = flow("a", group("ForEach", "each", "x", "y", values=["1", "2", "3"]), task("z"))


async def test_a_forgotten_execution_is_restarted_where_it_failed(workshop: Workshop) -> None:
    """It is read back from the repository at its last version; what had ended well is not run again."""
    await workshop.deploy(TEXT)
    async with workshop.executor():
        worker = asyncio.create_task(
            workshop.work(lambda job: State.FAILED if (job.task_id, job.value) == ("y", "2") else State.SUCCESS)
        )
        await workshop.create("e")
        before = await workshop.ended("e")
        worker.cancel()
        assert State.FAILED is before.state
        await workshop.forget("e")
        workshop.claimed.clear()

        worker = asyncio.create_task(workshop.work())
        await workshop.send(RestartRequested(execution_id="e", at=datetime.now(UTC)))
        after = await workshop.ended("e", before.version)
        worker.cancel()

    assert State.SUCCESS is after.state
    assert [("y", "2"), ("x", "3"), ("y", "3"), ("z", None)] == [(job.task_id, job.value) for job in workshop.claimed]
    assert {State.SUCCESS} == {state for *_, state in await workshop.runs("e")}
    await workshop.index()
    assert {"e": after.version} == await workshop.repository.confirmed(["e"])


async def test_a_forgotten_execution_is_replayed_from_a_task_run(workshop: Workshop) -> None:
    """The new execution takes over the runs and outputs of before, which only history knows."""
    await workshop.deploy(flow("a", task("b", value="{{ outputs.a.of }}"), "c"))
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("e")
        await workshop.ended("e")
        target = (await workshop.state.runs("e"))[1].run.id
        await workshop.forget("e")
        workshop.claimed.clear()

        await workshop.send(ReplayRequested(execution_id="e", at=datetime.now(UTC), new_id="again", task_run_id=target))
        again = await workshop.ended("again")
        worker.cancel()

    assert State.SUCCESS is again.state
    assert ["b", "c"] == [job.task_id for job in workshop.claimed]
    assert {"a": {"of": "a", "value": None}} == workshop.claimed[0].context["outputs"]


async def test_a_forgotten_execution_gets_labels(workshop: Workshop) -> None:
    """Every command that is obeyed after the end is."""
    await workshop.deploy(flow("a"))
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("e")
        before = await workshop.ended("e")
        await workshop.forget("e")
        await workshop.send(LabelsRequested(execution_id="e", at=datetime.now(UTC), labels=(("k", "v"),)))
        after = await workshop.ended("e", before.version)
        worker.cancel()

    assert (("k", "v"),) == after.labels
    assert before.version + 1 == after.version


async def test_a_create_that_comes_again_much_later_creates_nothing(workshop: Workshop) -> None:
    """Who created it long ago is asked of the repository; a late first create is obeyed."""
    await workshop.deploy(flow("a"))
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("e", at=long_ago)
        assert State.SUCCESS is (await workshop.ended("e")).state
        await workshop.forget("e")

        await workshop.create("e", at=long_ago)
        await workshop.create("late", at=long_ago)
        assert State.SUCCESS is (await workshop.ended("late")).state
        worker.cancel()

    async def is_read() -> bool:
        return all(depth.messages == 0 for depth in await workshop.queue.depths() if depth.topic == "execution_event")

    await workshop.until(is_read)
    assert await workshop.execution("e") is None
    assert ["e", "late"] == [job.execution_id for job in workshop.claimed]


class AwayRepository(MemoryRepository):
    """A repository that can be away."""

    is_away = False

    async def anywhere(self, execution_ids: Sequence[str]) -> dict[str, Execution]:
        if self.is_away:
            raise Unavailable("The history database is away.")
        return await super().anywhere(execution_ids)


async def test_a_command_waits_for_history_while_other_executions_go_on(workshop: Workshop) -> None:
    """History away stops what needs it and nothing else; what came behind the command stays behind it."""
    workshop.repository = repository = AwayRepository()
    await workshop.deploy(flow("a"))
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("e")
        before = await workshop.ended("e")
        await workshop.forget("e")
        repository.is_away = True
        await workshop.send(LabelsRequested(execution_id="e", at=datetime.now(UTC), labels=(("k", "1"),)))
        await workshop.send(LabelsRequested(execution_id="e", at=datetime.now(UTC), labels=(("k", "2"),)))
        await workshop.create("other")
        assert State.SUCCESS is (await workshop.ended("other")).state
        assert await workshop.execution("e") is None

        repository.is_away = False
        after = await workshop.ended("e", before.version)
        worker.cancel()

    assert (("k", "2"),) == after.labels
