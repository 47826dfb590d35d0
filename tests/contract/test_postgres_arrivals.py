"""On PostgreSQL messages travel with the signals that tell of them, and are handled as if they were read."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.contract.backends import PostgresContract
from tests.contract.cut import Cut
from tests.contract.hearing import LONG_S, counted, reader_of
from tests.contract.samples import NOW, event, job, leases_of
from tests.contract.steps import ALL, arrived, seqs, submit, waiting
from tests.patience import PATIENCE_S
from tiercel.errors import Unavailable
from tiercel.messages.execution_event import EventFailed, JobReturned, TaskStarted
from tiercel.messages.topics import EXECUTION_EVENT, WORKER_JOB
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue.base import Delivery, Outgoing
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import PostgresQueue
from tiercel.runtime.embedded import EmbeddedPostgres
from tiercel.runtime.postgres.migration import migrate


def keys(deliveries: list[Delivery[Any]]) -> list[str]:
    return [delivery.key for delivery in deliveries]


async def test_a_message_that_has_come_is_not_read(postgres: PostgresContract, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is acknowledged like any other, and is there once."""
    reader = await reader_of(postgres)
    leases = await leases_of(reader.leases)
    asked = counted(reader.queue, monkeypatch)
    await postgres.queue.emit(event("a"))

    await reader.queue.wait(EXECUTION_EVENT, LONG_S)
    before = asked()
    found = await reader.queue.read(EXECUTION_EVENT, ALL, count=10)

    assert before == asked()
    assert ["a"] == keys(found)
    async with reader.state.transaction(leases) as unit:
        unit.acknowledge(EXECUTION_EVENT, found)
    assert 0 == await waiting(postgres.queue, EXECUTION_EVENT.name)
    assert [] == await reader.queue.read(EXECUTION_EVENT, ALL, count=10)


async def test_what_is_not_acknowledged_is_read_again(postgres: PostgresContract) -> None:
    """Before what comes after it."""
    reader = await reader_of(postgres)
    await postgres.queue.emit(event("a"))
    assert ["a"] == keys(await arrived(reader.queue, 1))
    await postgres.queue.emit(event("b"))
    await reader.queue.wait(EXECUTION_EVENT, LONG_S)

    assert ["a", "b"] == keys(await arrived(reader.queue, 2))


@pytest.mark.parametrize("sizes", [[11, 9000, 12], [9000, 10], [10, 20]])
async def test_large_and_small_messages_of_a_sender_keep_their_order(
    postgres: PostgresContract, sizes: list[int]
) -> None:
    """A signal carries only what it has room for."""
    reader = await reader_of(postgres)
    for size in sizes:
        told = EventFailed(execution_id="a", at=NOW, event="x", reason="x" * size)
        await postgres.queue.emit(Outgoing(topic=EXECUTION_EVENT, key="a", message=told))

    found = await arrived(reader.queue, len(sizes))

    assert sizes == [len(each.message.reason) for each in found if isinstance(each.message, EventFailed)]


async def test_a_key_with_a_separator_is_read_from_the_table(postgres: PostgresContract) -> None:
    """Its signal cannot be read; nothing is lost."""
    reader = await reader_of(postgres)
    await postgres.queue.emit(event("a\x1fb"))

    assert ["a\x1fb"] == keys(await arrived(reader.queue, 1))


async def test_a_started_event_comes_with_what_follows_it(
    postgres: PostgresContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim tells nobody at once: the report that follows brings both, in order."""
    reader, worker = await reader_of(postgres), await reader_of(postgres)
    await submit(postgres, job("a", 1))
    await worker.queue.wait(WORKER_JOB, LONG_S)
    assert [1] == seqs(await worker.queue.claim("w", ["default"], 10))
    asked = counted(reader.queue, monkeypatch)
    await worker.queue.emit(event("a"))
    await reader.queue.wait(EXECUTION_EVENT, LONG_S)

    found = await reader.queue.read(EXECUTION_EVENT, ALL, count=10)

    assert ["TaskStarted", type(event("a").message).__name__] == [type(each.message).__name__ for each in found]
    assert asked() <= 1  # the moment that an announcement waits may be over on a busy machine


async def test_a_job_that_has_come_goes_to_one_worker(postgres: PostgresContract) -> None:
    """Every worker hears of it, and one takes it."""
    workers = [await reader_of(postgres) for _ in range(3)]
    await submit(postgres, job("a", 1))
    for worker in workers:
        await worker.queue.wait(WORKER_JOB, LONG_S)

    claims = await asyncio.gather(*(worker.queue.claim("w", ["default"], 10) for worker in workers))

    assert [1] == seqs([job for claim in claims for job in claim])
    assert 0 == await waiting(postgres.queue)
    assert 1 == len(await postgres.queue.read(EXECUTION_EVENT, ALL, count=10))


async def test_a_job_of_another_lane_is_left(postgres: PostgresContract) -> None:
    """Signals reach every worker."""
    worker = await reader_of(postgres)
    await submit(postgres, job("a", 1, lane="other"))
    await worker.queue.wait(WORKER_JOB, LONG_S)

    assert [] == await worker.queue.claim("w", ["default"], 10)
    assert 1 == await waiting(postgres.queue)


@pytest.mark.parametrize("heard", [True, False])
async def test_a_claim_whose_answer_was_lost_is_given_back(
    postgres: PostgresContract, tmp_path: Path, heard: bool
) -> None:
    """Was it ours, another gets the job by the executor; was it not, the next claim takes it."""
    cut = Cut(postgres.uri, tmp_path, heard=heard, mark=b"TaskStarted")
    await cut.open()
    queue = PostgresQueue(await PostgresNode.open(cut.uri))
    await queue.wait(WORKER_JOB, LONG_S)
    assert [] == await queue.claim("w", ["default"], 10)
    await submit(postgres, job("a", 1))
    await queue.wait(WORKER_JOB, LONG_S)
    cut.arm()
    with pytest.raises(Unavailable):
        await queue.claim("w", ["default"], 5)

    claimed: list[WorkerJob] = []
    found: list[Delivery[Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while not claimed and len(found) < 2:
            with contextlib.suppress(Unavailable):
                claimed = await queue.claim("w", ["default"], 5)
            found = await postgres.queue.read(EXECUTION_EVENT, ALL, count=10)

    assert [TaskStarted, JobReturned][: 2 if heard else 1] == [type(each.message) for each in found]
    assert ([] if heard else [1]) == seqs(claimed)
    assert 0 == await waiting(postgres.queue)
    await queue.close()
    await cut.close()


async def test_a_return_whose_answer_was_lost_too_is_told_again_as_the_same(
    postgres: PostgresContract, tmp_path: Path
) -> None:
    """The executor knows by its instant that it has been told: the worker may have the job once more by then."""
    cut = Cut(postgres.uri, tmp_path, heard=True, mark=b"TaskStarted")
    await cut.open()
    queue = PostgresQueue(await PostgresNode.open(cut.uri))
    await queue.wait(WORKER_JOB, LONG_S)
    assert [] == await queue.claim("w", ["default"], 10)
    await submit(postgres, job("a", 1))
    await queue.wait(WORKER_JOB, LONG_S)
    cut.arm()
    with pytest.raises(Unavailable):
        await queue.claim("w", ["default"], 5)
    cut.arm(b"JobReturned")

    found: list[Delivery[Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < 3:
            with contextlib.suppress(Unavailable):
                await queue.claim("w", ["default"], 5)
            found = await postgres.queue.read(EXECUTION_EVENT, ALL, count=10)

    assert [TaskStarted, JobReturned, JobReturned] == [type(each.message) for each in found]
    assert found[1].message == found[2].message
    await queue.close()
    await cut.close()


async def test_signals_that_nobody_takes_stop_carrying(tmp_path: Path) -> None:
    """A server whose queue of signals is full refuses to commit; a listener that hangs must not bring that about."""
    with EmbeddedPostgres(tmp_path, settings={"max_notify_queue_pages": "64"}) as server:
        await migrate(server.uri())
        queue = PostgresQueue(await PostgresNode.open(server.uri()))
        async with await psycopg.AsyncConnection.connect(server.uri(), autocommit=True) as hanging:
            await hanging.execute("LISTEN anything")
            await hanging.execute("BEGIN")
            count = 4 * 64 * 8192 // 5000  # four times what there is room for
            for _ in range(count):
                told = EventFailed(execution_id="a", at=NOW, event="x", reason="x" * 4500)
                await queue.emit(Outgoing(topic=EXECUTION_EVENT, key="a", message=told))

        assert count == await waiting(queue, EXECUTION_EVENT.name)
        await queue.close()
