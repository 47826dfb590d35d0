"""
What a state store's transaction takes from the queue and gives to it.

The state store knows what changed; how messages leave, and how those that came are acknowledged, is the queue's affair:
rows of tables on PostgreSQL, an outbox and positions on Kafka.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from tiercel.messages.execution_event import TaskStarted
from tiercel.messages.history import is_awaited
from tiercel.messages.topics import HISTORY, Topic, partition_of
from tiercel.queue.base import Delivery, Outgoing, OutgoingJob
from tiercel.queue.postgres.node import Durability, PostgresNode
from tiercel.queue.postgres.sending import SQL, Sending, table_of
from tiercel.runtime.postgres.array import int2s, int8s
from tiercel.runtime.postgres.batch import Statement


class Mail(Protocol):
    """The messages of one transaction; calls only note what is to be done."""

    @property
    def durability(self) -> Durability:
        """When the transaction must be on disk."""
        ...

    def add(self, messages: Iterable[Outgoing]) -> None:
        """Send messages."""
        ...

    def add_jobs(self, jobs: Iterable[OutgoingJob]) -> None:
        """Send jobs."""
        ...

    def acknowledge(self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]]) -> None:
        """Acknowledge what was read."""
        ...

    def hand_out(self, jobs: Sequence[OutgoingJob]) -> AbstractAsyncContextManager[list[TaskStarted]]:
        """Give jobs to workers by the transaction in the block (see `statestore.Unit.hand_out`)."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Surround the transaction: the block learns whether it was committed by how it ends."""
        ...

    def acknowledgements(self) -> Iterator[Statement]:
        """Yield the statements that acknowledge; each message must be there."""
        ...

    def messages(self) -> Iterator[Statement]:
        """Yield the statements that send."""
        ...

    def touched(self) -> dict[str, set[int] | None]:
        """Return which topics get something by the commit itself, and in which partitions."""
        ...

    @property
    def carrier(self) -> Sending | None:
        """What signals may carry of the messages."""
        ...


class PostgresMail:
    """Messages as rows of the topics' tables."""

    durability: Final = Durability.LATER  # what is acknowledged is there again when the transaction is not

    def __init__(self, node: PostgresNode) -> None:
        self._node = node
        self._sending = Sending(node.partitions)
        self._awaited: set[int] = set()
        """Partitions of history in which an execution ends."""
        self._acknowledged: dict[str, tuple[Topic[Any], list[Delivery[Any]]]] = {}

    def add(self, messages: Iterable[Outgoing]) -> None:
        """Send messages."""
        added = list(messages)
        self._sending.add(added)
        history = (out for out in added if out.topic is HISTORY and is_awaited(out.message))
        self._awaited.update(partition_of(out.key, self._node.partitions) for out in history)

    def add_jobs(self, jobs: Iterable[OutgoingJob]) -> None:
        """Send jobs."""
        self._sending.add_jobs(jobs)

    def acknowledge(self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]]) -> None:
        """Acknowledge what was read."""
        self._acknowledged.setdefault(topic.name, (topic, []))[1].extend(deliveries)

    def hand_out(self, jobs: Sequence[OutgoingJob]) -> AbstractAsyncContextManager[list[TaskStarted]]:
        """Give none: workers take them from the table."""
        return contextlib.nullcontext([])

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Note that what was acknowledged is over, and tell of history that nobody waits for."""
        yield
        changed = self._sending.touched().get(HISTORY.name) or set()
        if changed - self._awaited:
            self._node.announce_soon({HISTORY.name: changed - self._awaited})
        for name, (_, deliveries) in self._acknowledged.items():
            self._node.arrivals.finished(name, [delivery.id for delivery in deliveries])

    @property
    def carrier(self) -> Sending:
        """Everything that is sent."""
        return self._sending

    def acknowledgements(self) -> Iterator[Statement]:
        """Yield deletions."""
        for topic, deliveries in self._acknowledged.values():
            yield (
                SQL.of("acknowledge_all", table_of(topic)),
                {
                    "parts": int2s([delivery.partition for delivery in deliveries]),
                    "ids": int8s([delivery.id for delivery in deliveries]),
                    "count": len(deliveries),
                },
            )

    def messages(self) -> Iterator[Statement]:
        """Yield insertions."""
        return self._sending.statements()

    def touched(self) -> dict[str, set[int] | None]:
        """Return what gets messages or jobs; of history only what somebody waits for."""
        touched = self._sending.touched()
        if touched.pop(HISTORY.name, None) and self._awaited:
            touched[HISTORY.name] = set(self._awaited)
        return touched
