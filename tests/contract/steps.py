"""
What the contracts do to a queue, on backends where what was sent arrives a moment later.

A message or a job that is there comes within the time limit; that nothing more comes is told by the depths, which know
of all that waits, and not by looking once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tests.contract.backends import Process
from tests.patience import PATIENCE_S
from tiercel.messages.execution_event import TaskStarted
from tiercel.messages.topics import EXECUTION_EVENT, WORKER_JOB, Topic
from tiercel.messages.worker_job import TaskJob, WorkerJob
from tiercel.queue.base import Delivery, OutgoingJob, Queue

ALL: Final = range(16)
POLL_S: Final = 0.2
"""Between two looks where nothing announces a change."""


async def submit(backend: Process, *jobs: OutgoingJob) -> None:
    """Put jobs into the waiting line."""
    async with backend.state.transaction([]) as unit:
        unit.send(*jobs)


async def hand_out(backend: Process, *jobs: OutgoingJob) -> list[TaskStarted]:
    """Send jobs as an executor does; return what was given to workers by that."""
    async with backend.state.transaction([]) as unit:
        started = await unit.hand_out(jobs)
        unit.send(*jobs)
    return started


async def arrived(
    queue: Queue, number: int, topic: Topic[Any] = EXECUTION_EVENT, partitions: Sequence[int] = ALL, count: int = 1000
) -> list[Delivery[Any]]:
    """Return what is read when at least so many messages are there."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := await queue.read(topic, partitions, count=count)) < number:
            await queue.wait(topic, POLL_S)
    return found


async def claimed(
    queue: Queue, number: int, count: int = 10, lanes: Sequence[str] = ("default",), worker: str = "w"
) -> list[WorkerJob]:
    """Claim at most `count` jobs, until there are so many."""
    found: list[WorkerJob] = []
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found += await queue.claim(worker, lanes, count - len(found))
            if len(found) >= number:
                return found
            await queue.wait(WORKER_JOB, POLL_S)


def seqs(jobs: Sequence[WorkerJob]) -> list[int]:
    """Return which task runs jobs are of."""
    return [job.seq for job in jobs if isinstance(job, TaskJob)]


async def waiting(queue: Queue, topic: str = WORKER_JOB.name) -> int:
    """Return how many messages or jobs wait."""
    return next(depth.messages for depth in await queue.depths() if depth.topic == topic)
