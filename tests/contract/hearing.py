"""Processes on PostgreSQL that hear of what is sent, and take it from the signals that tell of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.contract.backends import PostgresContract, Process
from tests.contract.steps import ALL
from tiercel.messages.topics import EXECUTION_EVENT, WORKER_JOB
from tiercel.queue.postgres.arrivals import Arrivals

LONG_S: Final = 60.0
"""Longer than any signal takes to arrive."""


def counted(queue: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often a queue asks the server for rows."""
    pool = queue._node.pool
    asked, count = pool.fetch, 0

    async def counting(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        return await asked(*arguments)

    monkeypatch.setattr(pool, "fetch", counting)
    return lambda: count


async def reader_of(postgres: PostgresContract) -> Process:
    """Return a process that hears of events and jobs, and knows that none wait."""
    reader = await postgres.another()
    queue: Any = reader.queue
    queue._node.arrivals = Arrivals(lambda: 0.0)  # what is known stays fresh, however slow the machine
    for topic in (EXECUTION_EVENT, WORKER_JOB):
        await reader.queue.wait(topic, LONG_S)  # returns when the process hears of the topic
    assert [] == await reader.queue.read(EXECUTION_EVENT, ALL, count=10)
    assert [] == await reader.queue.claim("w", ["default"], 10)
    for topic in (EXECUTION_EVENT, WORKER_JOB):
        await reader.queue.wait(topic, 0)  # to hear of another topic woke this one
    return reader
