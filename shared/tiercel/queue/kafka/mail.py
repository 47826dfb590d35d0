"""A state store's transaction on Kafka: positions move, jobs and outbox rows are written, and then sent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final

from tiercel.messages import codec
from tiercel.messages.execution_event import TaskStarted
from tiercel.messages.history import is_awaited
from tiercel.messages.topics import HISTORY, WORKER_JOB, Topic, partition_of
from tiercel.queue import metrics as queue_metrics
from tiercel.queue.base import Delivery, Outgoing, OutgoingJob, started_by
from tiercel.queue.kafka.backlog import Progress
from tiercel.queue.kafka.handout import Handout, Shares
from tiercel.queue.kafka.outbox import Outbox
from tiercel.queue.kafka.producer import Record
from tiercel.queue.kafka.shelf import Shelf
from tiercel.queue.postgres.node import Durability, PostgresNode
from tiercel.queue.postgres.sending import Sending
from tiercel.runtime.clock import Clock
from tiercel.runtime.postgres.batch import Statement
from tiercel.statestore.base import LeaseLost, StaleState


class KafkaMail:
    """What one transaction takes from the queue and gives to it."""

    durability: Final = Durability.FIRST  # what the brokers have must not be taken back by a crash of the database
    carrier: Final = None

    def __init__(self, node: PostgresNode, shelf: Shelf, outbox: Outbox, handout: Handout | None, clock: Clock) -> None:
        self._handout = handout
        self._clock = clock
        self._shelf = shelf
        self._outbox = outbox
        self._node = node
        self._jobs: list[OutgoingJob] = []
        self._shares = Shares()
        self._line = Sending(node.partitions)
        self._messages: list[tuple[Outgoing, bytes]] = []
        self._acknowledged: dict[str, tuple[Topic[Any], list[Delivery[Any]]]] = {}
        self._plans: list[tuple[Topic[Any], list[Progress]]] = []
        self._records: list[Record] = []

    def add(self, messages: Iterable[Outgoing]) -> None:
        """Send messages."""
        self._messages += [(out, codec.encode(out.message)) for out in messages]

    def add_jobs(self, jobs: Iterable[OutgoingJob]) -> None:
        """Send jobs: those that were given to their workers, all others to the waiting line, a table on Kafka too."""
        self._jobs += jobs

    @contextlib.asynccontextmanager
    async def hand_out(self, jobs: Sequence[OutgoingJob]) -> AsyncIterator[list[TaskStarted]]:
        """Give jobs to workers that have room, if this process is the one that may."""
        if self._handout is None:
            yield []
            return
        async with self._handout.share(jobs) as shares:
            self._shares = shares
            at = self._clock.now()
            yield [started for worker, out in shares.given for started in started_by(worker, [out.job], at)]

    def acknowledge(self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]]) -> None:
        """Acknowledge what was read."""
        self._acknowledged.setdefault(topic.name, (topic, []))[1].extend(deliveries)

    def acknowledgements(self) -> Iterator[Statement]:
        """Yield the statements that move positions."""
        for topic, deliveries in self._acknowledged.values():
            plan = self._shelf.plan(topic, deliveries) if deliveries else []
            if plan is None:
                raise StaleState(f"Another instance reads partitions of '{topic.name}' by now; nothing was saved.")
            self._plans.append((topic, plan))
            yield from self._shelf.statements(topic, plan)

    def messages(self) -> Iterator[Statement]:
        """Yield the statements that keep jobs and messages."""
        yield from self._line.statements()
        if self._handout is not None:
            yield from self._handout.statements(self._shares)
        given = [(worker, codec.encode(out.job)) for worker, out in self._shares.given]
        if given:
            queue_metrics.sent(WORKER_JOB.name, [len(body) for _, body in given])
        self._records = self._outbox.jobs(given)
        self._records += self._outbox.records(self._messages)
        yield from self._outbox.statements(self._records)

    def touched(self) -> dict[str, set[int] | None]:
        """
        Return the waiting line, when it gets something, and `history`: who follows executions looks at the state.

        Their end is what somebody waits for; what comes before is told soon. All else is announced by its
        arrival.
        """
        touched = self._line.touched()
        told = {partition_of(out.key, self._node.partitions) for out, _ in self._messages if is_awaited(out.message)}
        if told:
            touched[HISTORY.name] = told
        return touched

    def _tell_soon(self) -> None:
        changed = {out.key for out, _ in self._messages if out.topic is HISTORY and not is_awaited(out.message)}
        if changed:
            self._node.announce_soon({HISTORY.name: {partition_of(key, self._node.partitions) for key in changed}})

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Number and send nothing else meanwhile; afterwards send what was committed."""
        async with self._outbox.turn:
            self._line.add_jobs(self._left())
            await self._outbox.ready()
            try:
                yield
            except BaseException as error:  # cancelled too: nothing was acknowledged
                for topic, deliveries in self._acknowledged.values():
                    self._shelf.drop(topic, {delivery.partition for delivery in deliveries})
                if not isinstance(error, LeaseLost | StaleState):
                    self._outbox.doubt()
                raise
            self._outbox.committed(self._records)
            self._tell_soon()
            for topic, plan in self._plans:
                self._shelf.committed(topic, plan)

    def _left(self) -> list[OutgoingJob]:
        """Return the jobs that nobody was given."""
        given = {id(out) for _, out in self._shares.given}
        left = [out for out in self._jobs if id(out) not in given]
        if self._handout is not None:
            self._handout.wait({out.lane for out in left})
        return left
