"""
The queue's port: moves messages between processes by three routes (see `tiercel.messages.topics`).

KEYED messages are read by the owner of their partition and acknowledged in the transaction that saves what they
changed (`statestore.Unit.acknowledge`), or by `acknowledge` here for a service whose writes are idempotent. DISPATCH
jobs are claimed and owned in one commit. BROADCAST messages reach every running subscriber at least once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, assert_never

import msgspec

from tiercel.messages.execution_event import JobReturned, TaskStarted
from tiercel.messages.topics import EXECUTION_EVENT, TRIGGER_EVENT, Topic
from tiercel.messages.trigger_event import TriggerReturned
from tiercel.messages.worker_job import TaskJob, TriggerJob, WorkerJob

M = TypeVar("M")

LANE_DEFAULT = "default"
"""The lane of jobs whose task selects no worker."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on one partition of a service's keys; a new owner gets a new token."""

    service: str
    partition: int
    token: str
    crashes: int = 0
    suspect: int | None = None


class Delivery(msgspec.Struct, Generic[M], frozen=True, kw_only=True):
    """One KEYED message as it was read; `message` is None when it cannot be decoded, and `error` then says why."""

    id: int
    partition: int
    key: str
    message: M | None
    body: bytes = b""
    error: str | None = None


READ_SIZE_MAX = 8 << 20
"""Bytes of bodies that one read returns, about."""


def is_everything(deliveries: Sequence[Delivery[Any]], count: int) -> bool:
    """Tell whether a read of at most `count` has returned all that waited: what comes later will be announced."""
    return len(deliveries) < count and sum(len(delivery.body) for delivery in deliveries) < READ_SIZE_MAX


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent on a KEYED or BROADCAST topic."""

    topic: Topic[Any]
    key: str
    message: Any


class OutgoingJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be sent; a lower `rank` is taken first within its lane."""

    lane: str = LANE_DEFAULT
    rank: int = 0
    job: WorkerJob


def started_by(worker: str, jobs: Iterable[WorkerJob], at: datetime) -> list[TaskStarted]:
    """Return what tells that a worker has these jobs; those of triggers have nobody to tell."""
    return [
        TaskStarted(execution_id=job.execution_id, at=at, seq=job.seq, attempt=job.attempt, worker=worker)
        for job in jobs
        if isinstance(job, TaskJob)
    ]


def started_events(worker: str, jobs: Iterable[WorkerJob], at: datetime) -> list[Outgoing]:
    """Return the messages that tell it."""
    told = started_by(worker, jobs, at)
    return [Outgoing(topic=EXECUTION_EVENT, key=event.execution_id, message=event) for event in told]


def returned_event(worker: str, job: WorkerJob, at: datetime) -> Outgoing:
    """Return the event that tells that a worker hands a job back, unstarted."""
    match job:
        case TaskJob():
            told = JobReturned(execution_id=job.execution_id, at=at, seq=job.seq, attempt=job.attempt, worker=worker)
            return Outgoing(topic=EXECUTION_EVENT, key=job.execution_id, message=told)
        case TriggerJob():
            back = TriggerReturned(trigger_uid=job.trigger_uid, at=at, worker=worker, evaluation=job.evaluated_at)
            return Outgoing(topic=TRIGGER_EVENT, key=job.trigger_uid, message=back)
        case _:
            assert_never(job)


class TopicDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages wait in a topic, and for how long (seconds) the oldest has."""

    topic: str
    messages: int
    oldest_s: float


class Ahead(Protocol):
    """Runs jobs that end at once and touch nothing outside of what is told of them, before they are anybody's."""

    def told(self, job: TaskJob) -> Sequence[Outgoing] | None:
        """Run a job and return what is to be told of it; None if it must be this worker's first."""
        ...

    def taken(self, job: TaskJob) -> None:
        """Hear that the job was this worker's, and that what was to be told of it is sent."""
        ...


class Queue(Protocol):
    """Moves messages between services: at least once, in order per producer and key."""

    @property
    def partitions(self) -> int:
        """Number of partitions of KEYED topics."""
        ...

    async def emit(self, *messages: Outgoing) -> None:
        """
        Append messages; they are durable when this returns.

        When it raises Unavailable nobody knows whether they are: who sends again may send twice.
        """
        ...

    async def read(
        self, topic: Topic[M], partitions: Sequence[int], *, count: int, size: int = READ_SIZE_MAX
    ) -> list[Delivery[M]]:
        """
        Return the oldest unacknowledged messages of these partitions, in order, at most `count` (per partition) and
        about `size` bytes; an empty list when nothing waits. Messages of a newer level are left where they are.
        """
        ...

    async def acknowledge(
        self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]], leases: Sequence[Lease]
    ) -> bool:
        """Remove messages, the oldest of their partitions; False (and nothing removed) when a lease is lost."""
        ...

    async def bury(self, topic: Topic[Any], delivery: Delivery[Any], reason: str) -> None:
        """Copy a message to the dead letters (it is acknowledged apart from this)."""
        ...

    @property
    def sends_jobs(self) -> bool:
        """
        True when jobs are sent to workers as far as these have asked for.

        Who waits for a job there and has another slot says so by a claim, and may ask for slots that are `soon` free.
        """
        ...

    async def claim(
        self, worker: str, lanes: Sequence[str], count: int, ahead: Ahead | None = None, soon: int = 0
    ) -> list[WorkerJob]:
        """
        Take at most `count` jobs for a worker, lowest rank and oldest first.

        The jobs are removed, and the `started` event of each task job is emitted, in one commit; only after it may
        the caller run them. A backend may let a job be run `ahead`: what is told of it is emitted in the same commit,
        and it is not returned; when somebody else has taken it meanwhile, nothing has happened. On some backends jobs
        are sent to a worker as far as its last call has asked for (`sends_jobs`): what waits comes soon, and `wait`
        tells of it; when no other worker has room, for as many slots more as it expects to be free `soon`. A worker
        always claims from the same lanes.
        """
        ...

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """
        Say that a worker claims no more, and return the jobs that are its own by now and were not handed over.

        They are to be given back (`JobReturned`); nothing comes after this.
        """
        ...

    def subscribe(self, topic: Topic[M]) -> AsyncIterator[M]:
        """Yield the messages of a BROADCAST topic that are sent from now on, until closed."""
        ...

    async def wait(self, topic: Topic[Any], timeout: float, *, partitions: Sequence[int] | None = None) -> None:
        """
        Return when something may wait in the topic (sent since the last call returned), or after `timeout` seconds.

        It may return early; it never misses a message, sent by any process, of a partition that was read here before.
        With `partitions`, what was sent to other partitions does not make it return. Call it from the task that reads:
        callers are told apart by their task.
        """
        ...

    def wake(self, topic: Topic[Any]) -> None:
        """Make waits on this topic return in all processes, soon and coalesced; called after a commit."""
        ...

    async def depths(self) -> list[TopicDepth]:
        """Return the depth of every topic that has a backlog table."""
        ...

    async def close(self) -> None:
        """Let go of connections and the like; nothing is asked of it afterwards."""
        ...
