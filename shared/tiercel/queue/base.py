"""
The queue's port: moves messages between processes by three routes (see `tiercel.messages.topics`).

KEYED messages are read by the owner of their partition and acknowledged in the transaction that saves what they
changed (`statestore.Unit.acknowledge`), or by `acknowledge` here for a service whose writes are idempotent. DISPATCH
jobs are claimed and owned in one commit. BROADCAST messages reach every running subscriber at least once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from tiercel.messages.execution_event import ExecutionEvent
from tiercel.messages.topics import Topic
from tiercel.messages.worker_job import TaskJob, WorkerJob

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


class TopicDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages wait in a topic, and for how long (seconds) the oldest has."""

    topic: str
    messages: int
    oldest_s: float


class Queue(Protocol):
    """Moves messages between services: at least once, in order per producer and key."""

    @property
    def partitions(self) -> int:
        """Number of partitions of KEYED topics."""
        ...

    async def emit(self, *messages: Outgoing, jobs: Sequence[OutgoingJob] = ()) -> None:
        """Append messages and jobs in one transaction; they are durable when this returns."""
        ...

    async def read(
        self, topic: Topic[M], partitions: Sequence[int], *, count: int, size: int = 8 << 20
    ) -> list[Delivery[M]]:
        """
        Return the oldest unacknowledged messages of these partitions, in order, at most `count` (per partition) and
        about `size` bytes; an empty list when nothing waits. Messages of a newer level are left where they are.
        """
        ...

    async def acknowledge(
        self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]], leases: Sequence[Lease]
    ) -> bool:
        """Remove messages; False (and nothing removed) when a lease is lost."""
        ...

    async def bury(self, topic: Topic[Any], delivery: Delivery[Any], reason: str) -> None:
        """Copy a message to the dead letters (it is acknowledged apart from this)."""
        ...

    async def claim(
        self, lanes: Sequence[str], count: int, started: Callable[[TaskJob], ExecutionEvent]
    ) -> list[WorkerJob]:
        """
        Take at most `count` jobs, lowest rank and oldest first.

        The jobs are removed, and the `started` event of each task job is emitted, in one commit; only after it may
        the caller run them.
        """
        ...

    def subscribe(self, topic: Topic[M]) -> AsyncIterator[M]:
        """Yield the messages of a BROADCAST topic that are sent from now on, until closed."""
        ...

    async def wait(self, topic: Topic[Any], timeout: float, *, partitions: Sequence[int] | None = None) -> None:
        """
        Return when something may wait in the topic (sent since the last call returned), or after `timeout` seconds.

        It may return early; it never misses a message that was sent by this process or announced by another. With
        `partitions`, what was sent to other partitions does not make it return. Call it from the task that reads:
        callers are told apart by their task.
        """
        ...

    def wake(self, topic: Topic[Any]) -> None:
        """Make waits on this topic return in all processes, soon and coalesced; called after a commit."""
        ...

    async def depths(self) -> list[TopicDepth]:
        """Return the depth of every topic that has a backlog table."""
        ...

    async def close(self) -> None: ...
