"""Events that wait for facts: one execution waits, others go on, order is kept, and a takeover loses nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.integration.workshop import Workshop
from tests.statemachine.flows import CORE, flow, task
from tiercel.errors import Unavailable
from tiercel.executor.service import ExecutorService
from tiercel.messages.execution_event import KillRequested, LabelsRequested
from tiercel.messages.topics import EXECUTION_EVENT, partition_of
from tiercel.model.state import State


class SlowSecrets:
    """A secret manager that answers when it is let."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = 0

    def get(self, tenant_id: str, namespace: str, key: str) -> str:
        self.asked += 1
        assert self.may_answer.wait(30)
        return "yes"

    def names(self, tenant_id: str, namespace: str) -> list[str]:
        return []


@pytest.fixture
def secrets(workshop: Workshop) -> SlowSecrets:
    workshop.secrets = found = SlowSecrets()
    return found


ASKING = flow({"id": "if", "type": CORE + "If", "condition": "{{ secret('S') == 'yes' }}", "then": [task("t")]}, "z")


async def _parked(workshop: Workshop, count: int, execution_id: str = "asks") -> None:
    async def is_parked() -> bool:
        return len(await workshop.state.parked_events([execution_id], 100)) == count

    await workshop.until(is_parked)


async def test_a_slow_secret_manager_stops_one_execution_and_no_other(workshop: Workshop, secrets: SlowSecrets) -> None:
    """The event is parked and its message acknowledged; executions in the same partition go on."""
    await workshop.deploy(ASKING)
    await workshop.deploy(flow("a").replace("id: f\n", "id: plain\n", 1))
    same = next(name for name in map("other{}".format, range(1000)) if partition_of(name) == partition_of("asks"))
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("asks")
        await _parked(workshop, 1)
        for name in (same, "another"):
            await workshop.create(name, "plain")
            assert State.SUCCESS is (await workshop.ended(name)).state
        assert await workshop.execution("asks") is None
        assert [] == await workshop.queue.read(EXECUTION_EVENT, [partition_of("asks")], count=10)

        secrets.may_answer.set()
        assert State.SUCCESS is (await workshop.ended("asks")).state
        worker.cancel()

    assert [("if", None, State.SUCCESS), ("t", None, State.SUCCESS), ("z", None, State.SUCCESS)] == (
        await workshop.runs("asks")
    )
    assert 1 == secrets.asked
    assert [] == await workshop.state.parked_events(["asks"], 10)


async def test_what_comes_later_is_decided_later(workshop: Workshop, secrets: SlowSecrets) -> None:
    """Events behind a parked one are parked too, and decided in their order."""
    await workshop.deploy(ASKING)
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("asks")
        await _parked(workshop, 1)
        for number in range(3):
            labels = (("number", str(number)),)
            await workshop.send(LabelsRequested(execution_id="asks", at=datetime.now(UTC), labels=labels))
        await _parked(workshop, 4)

        secrets.may_answer.set()
        found = await workshop.ended("asks")
        worker.cancel()

    assert (State.SUCCESS, (("number", "2"),)) == (found.state, found.labels)


async def test_another_executor_goes_on_with_what_was_parked(workshop: Workshop, secrets: SlowSecrets) -> None:
    """The parked event is in the state store: whoever takes the partition over asks for the fact anew."""
    await workshop.deploy(ASKING)
    async with workshop.executor():
        await workshop.create("asks")
        await workshop.send(LabelsRequested(execution_id="asks", at=datetime.now(UTC), labels=(("k", "v"),)))
        await _parked(workshop, 2)

    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.until(lambda: _true(lambda: secrets.asked == 2))
        secrets.may_answer.set()
        found = await workshop.ended("asks")
        worker.cancel()

    assert (State.SUCCESS, (("k", "v"),)) == (found.state, found.labels)


async def test_a_kill_does_not_wait_for_a_fact(workshop: Workshop, secrets: SlowSecrets) -> None:
    """A kill of an execution that exists comes before what is parked, which then changes nothing."""
    await workshop.deploy(ASKING.replace("tasks:\n", "tasks:\n- id: first\n  type: tiercel.tests.Task\n", 1))
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("asks")
        await _parked(workshop, 1)
        await workshop.send(KillRequested(execution_id="asks", at=datetime.now(UTC)))
        found = await workshop.ended("asks")
        await _parked(workshop, 0)
        worker.cancel()
        secrets.may_answer.set()

    assert State.KILLED is found.state


async def test_a_batch_of_unknown_outcome_loses_no_parked_event(
    workshop: Workshop, secrets: SlowSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory asks the store again what waits: the commit may have happened although nobody heard of it."""
    await workshop.deploy(ASKING)
    executor = workshop.executor()
    _fail_once_after_parking(executor, monkeypatch)
    async with executor:
        worker = asyncio.create_task(workshop.work())
        await workshop.create("asks")
        await _parked(workshop, 1)
        secrets.may_answer.set()
        assert State.SUCCESS is (await workshop.ended("asks")).state
        worker.cancel()


def _fail_once_after_parking(executor: ExecutorService, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, failed = executor._parking.saved, list[bool]()

    def lose(returned: object, waits: dict[str, object]) -> None:
        if waits and not failed:
            failed.append(True)
            executor._parking.doubt(range(16))
            raise Unavailable("The connection was lost while the batch was committed.")
        saved(returned, waits)

    monkeypatch.setattr(executor._parking, "saved", lose)


async def _true(condition: Callable[[], bool]) -> bool:
    return condition()
