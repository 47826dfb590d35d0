"""On PostgreSQL a worker may run a job before it is its own: one commit takes it and tells of its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.contract.backends import PostgresContract, Process
from tests.contract.cut import Cut
from tests.contract.hearing import LONG_S, counted, reader_of
from tests.contract.samples import NOW, job
from tests.contract.steps import ALL, submit, waiting
from tests.patience import PATIENCE_S
from tiercel.errors import Unavailable
from tiercel.messages.execution_event import EventFailed, TaskStarted
from tiercel.messages.history import LogBatch
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY, WORKER_JOB
from tiercel.messages.worker_job import TaskJob
from tiercel.queue.base import Delivery, Outgoing
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import PostgresQueue


class Runs:
    """Runs jobs ahead, each of which has a line of log and an end of so many characters."""

    def __init__(self, size: int | None = 10) -> None:
        self._size = size
        self.jobs: list[int] = []
        self.done: list[int] = []

    def told(self, job: TaskJob) -> Sequence[Outgoing] | None:
        self.jobs.append(job.seq)
        if self._size is None:
            return None
        end = EventFailed(execution_id=job.execution_id, at=NOW, event="end", reason="x" * self._size)
        lines = LogBatch(producer="w", sequence=job.seq, entries=())
        return [
            Outgoing(topic=HISTORY, key="w", message=lines),
            Outgoing(topic=EXECUTION_EVENT, key=job.execution_id, message=end),
        ]

    def taken(self, job: TaskJob) -> None:
        self.done.append(job.seq)


def sorts(found: Sequence[Delivery[Any]]) -> list[type]:
    return [type(each.message) for each in found]


async def heard_of(postgres: PostgresContract, worker: Process) -> None:
    """Send a job, and wait until a worker has heard of it."""
    await submit(postgres, job("a", 1))
    await worker.queue.wait(WORKER_JOB, LONG_S)


@pytest.mark.parametrize(("size", "comes"), [(10, True), (9000, False)])
async def test_what_came_of_a_job_is_sent_with_it(
    postgres: PostgresContract, monkeypatch: pytest.MonkeyPatch, size: int, comes: bool
) -> None:
    """Its start, its lines and its end are there, in order, with the signal that tells of them if they fit into it."""
    executor, worker = await reader_of(postgres), await reader_of(postgres)
    runs = Runs(size)
    await heard_of(postgres, worker)

    assert [] == await worker.queue.claim("w", ["default"], 10, runs)
    assert ([1], [1]) == (runs.jobs, runs.done)

    asked = counted(executor.queue, monkeypatch)
    await executor.queue.wait(EXECUTION_EVENT, LONG_S)
    found = await executor.queue.read(EXECUTION_EVENT, ALL, count=10)
    assert comes == (asked() == 0)
    assert [TaskStarted, EventFailed] == sorts(found)
    assert [LogBatch] == sorts(await executor.queue.read(HISTORY, ALL, count=10))
    assert 0 == await waiting(postgres.queue)


async def test_a_job_that_others_run_too_is_told_of_once(postgres: PostgresContract) -> None:
    """Of those who have run it one takes it; what the others did has not happened."""
    workers = [await reader_of(postgres) for _ in range(3)]
    runs = [Runs() for _ in workers]
    await submit(postgres, job("a", 1))
    for worker in workers:
        await worker.queue.wait(WORKER_JOB, LONG_S)

    await asyncio.gather(
        *(worker.queue.claim("w", ["default"], 10, run) for worker, run in zip(workers, runs, strict=True))
    )

    assert [[1]] * 3 == [run.jobs for run in runs]
    assert [1] == [seq for run in runs for seq in run.done]
    assert [TaskStarted, EventFailed] == sorts(await postgres.queue.read(EXECUTION_EVENT, ALL, count=10))
    assert [LogBatch] == sorts(await postgres.queue.read(HISTORY, ALL, count=10))


async def test_a_job_that_cannot_be_run_ahead_is_claimed(postgres: PostgresContract) -> None:
    """By the same call."""
    worker, runs = await reader_of(postgres), Runs(None)
    await heard_of(postgres, worker)

    claimed = await worker.queue.claim("w", ["default"], 10, runs)

    assert [job("a", 1).job] == claimed
    assert ([1], []) == (runs.jobs, runs.done)


async def test_jobs_that_wait_in_the_table_are_claimed(postgres: PostgresContract) -> None:
    """Several at a time is quicker than one after the other."""
    runs = Runs()
    await submit(postgres, job("a", 1), job("a", 2))

    assert 2 == len(await postgres.queue.claim("w", ["default"], 10, runs))
    assert [] == runs.jobs


@pytest.mark.parametrize("heard", [True, False])
async def test_a_job_whose_answer_was_lost_is_told_of_once(
    postgres: PostgresContract, tmp_path: Path, heard: bool
) -> None:
    """Either all is there, or the job still is, and is run again."""
    cut = Cut(postgres.uri, tmp_path, heard=heard, mark=b"TaskStarted")
    await cut.open()
    queue = PostgresQueue(await PostgresNode.open(cut.uri))
    await queue.wait(WORKER_JOB, LONG_S)
    assert [] == await queue.claim("w", ["default"], 10)
    await submit(postgres, job("a", 1))
    await queue.wait(WORKER_JOB, LONG_S)
    runs = Runs()
    cut.arm()
    with pytest.raises(Unavailable):
        await queue.claim("w", ["default"], 5, runs)
    assert [1] == runs.jobs

    claimed: list[Any] = []
    found: list[Delivery[Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < (2 if heard else 1):
            with contextlib.suppress(Unavailable):
                claimed += await queue.claim("w", ["default"], 5, runs)
            found = await postgres.queue.read(EXECUTION_EVENT, ALL, count=10)

    assert [TaskStarted, EventFailed][: len(found)] == sorts(found)
    assert heard == (claimed == [])
    assert [] == runs.done
    assert 0 == await waiting(postgres.queue)
    await queue.close()
    await cut.close()
