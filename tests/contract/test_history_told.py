"""Who follows executions is told of their ends at once, on the queues that tell by signals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.contract.backends import KafkaContract, PostgresContract
from tests.contract.samples import head
from tests.patience import PATIENCE_S
from tiercel.messages.history import ExecutionChanged
from tiercel.messages.topics import HISTORY
from tiercel.model.state import State
from tiercel.queue.base import Outgoing
from tiercel.queue.postgres import node

NEVER_S: Final = 3600.0
"""Longer than any test waits."""


@pytest.fixture(params=["postgres", "kafka"])
async def process(request: pytest.FixtureRequest, postgres_database: str) -> AsyncIterator[PostgresContract]:
    """Yield the adapters on empty tables."""
    if request.param == "kafka":
        address, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix")
        opened: PostgresContract = await KafkaContract.open_on(postgres_database, address, prefix)
    else:
        opened = await PostgresContract.open(postgres_database)
    yield opened
    await opened.close()


async def test_who_follows_an_execution_is_told_of_its_end_at_once_and_of_the_rest_soon(
    process: PostgresContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads it in the middle of each of its steps delays the next one."""
    monkeypatch.setattr(node, "SOON_S", NEVER_S)
    await process.queue.wait(HISTORY, PATIENCE_S)  # the first one returns when the process hears of the topic
    waiting = asyncio.create_task(process.queue.wait(HISTORY, NEVER_S))

    async def told(version: int, state: State) -> bool:
        changed = ExecutionChanged(execution=head("e", version, state).execution)
        async with process.state.transaction([]) as unit:
            unit.emit(Outgoing(topic=HISTORY, key="e", message=changed))
        await asyncio.sleep(0)  # who was woken goes on
        await asyncio.sleep(0)  # and with it who waits for it
        return waiting.done()

    assert not await told(1, State.CREATED)
    assert not await told(2, State.RUNNING)
    assert await told(3, State.SUCCESS)
