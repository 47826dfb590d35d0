"""Flow triggers in a running executor: who is told, by whom, and what becomes of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_executor import Desk
from tests.statemachine.flows import flow
from tiercel.executor.core import misses
from tiercel.messages.broadcast import FlowUpdated
from tiercel.messages.topics import BROADCAST
from tiercel.model import ids
from tiercel.model.state import State
from tiercel.queue.base import Outgoing

TYPE = "io.kestra.plugin.core.trigger.Flow"


def listener(*flow_ids: str, **properties: Any) -> str:
    """A flow that waits for these."""
    depends = [{"namespace": "company.team", "flowId": flow_id} for flow_id in flow_ids]
    trigger = {"id": "t", "type": TYPE, "dependsOn": depends, **properties}
    return flow("y", triggers=[trigger]).replace("id: f\n", "id: listener\n", 1)


class Work:
    """A worker for which everything works, and which notes the executions that it works for."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.seen: dict[str, None] = {}

    async def __aenter__(self) -> Work:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()

    async def _work(self) -> None:
        while True:
            for job in await self.desk.claim():
                self.seen[job.execution_id] = None
                await self.desk.finish(job)
            await asyncio.sleep(0)  # the executor has its turn

    def of_listener(self) -> list[str]:
        """Return the executions that nobody asked for by name."""
        return [name for name in self.seen if len(name) == ids.LENGTH]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_an_execution_starts_one_of_a_flow_that_listens(desk: Desk) -> None:
    """The flow was there when the executor began."""
    await desk.deploy(flow("a"))
    await desk.deploy(listener("f"))

    async with desk.executor(), Work(desk) as work:
        await desk.create("e1")
        await desk.until(work.of_listener)

        assert [State.SUCCESS] == await desk.ended(*work.of_listener())


async def test_a_flow_that_comes_later_is_heard_of(desk: Desk) -> None:
    """A broadcast says that there is one."""
    await desk.deploy(flow("a"))

    async with desk.executor(), Work(desk) as work:
        await desk.deploy(listener("f"))
        news = FlowUpdated(tenant_id="main", namespace="company.team", flow_id="listener", revision=1)
        await desk.backend.emit(Outgoing(topic=BROADCAST, key="", message=news))
        numbers = itertools.count()

        async def again() -> list[str]:
            name = f"e{next(numbers)}"
            await desk.create(name)
            await desk.ended(name)
            return work.of_listener()

        await desk.until(again)


async def test_what_was_met_outlives_the_executor(desk: Desk) -> None:
    """Windows are stored: another executor goes on where the first one stopped."""
    await desk.deploy(flow("a"))
    await desk.deploy(flow("a").replace("id: f\n", "id: g\n", 1))
    await desk.deploy(listener("f", "g"))

    async with Work(desk) as work:
        async with desk.executor():
            await desk.create("e1")
            await desk.until(lambda: desk.backend.scopes(["trigger/main/company.team/listener/t"]))
        assert [] == work.of_listener()

        async with desk.executor():
            await desk.create("e2", "g")
            await desk.until(work.of_listener)
            assert [State.SUCCESS] == await desk.ended(*work.of_listener())


async def test_a_window_that_ends_unmet_is_noticed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells the executor: it asks by itself, and a FAILED execution says what was missed."""
    monkeypatch.setattr(misses, "GRACE", timedelta())
    await desk.deploy(listener("f", onMiss={"behavior": "FAIL"}, window={"every": "PT0.2S"}))
    partitions = range(desk.backend.partitions)

    def missed() -> Awaitable[list[tuple[str, int]]]:
        return desk.backend.ended_before(partitions, datetime.now(UTC), 1)

    async with desk.executor():
        await desk.until(missed)
        ((execution_id, _),) = await missed()
        head = await desk.head(execution_id)

    assert head is not None
    assert State.FAILED == head.execution.state
    assert "not met" in (head.execution.error or "")
