"""The adapters under contract, with the few things that only a test does to them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from tiercel.messages.topics import PARTITIONS_DEFAULT, WORKER_JOB
from tiercel.queue.base import Queue
from tiercel.queue.kafka.dispatcher import Dispatcher
from tiercel.queue.kafka.link import KafkaLink
from tiercel.queue.kafka.settings import KafkaSettings
from tiercel.queue.memory import MemoryBackend
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import PostgresQueue
from tiercel.runtime import kafka as wiring_kafka
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.clock import SystemClock
from tiercel.runtime.postgres.pool import PLAIN_SESSION, PostgresPool
from tiercel.runtime.settings import QueueSettings, Settings
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.statestore.base import DISPATCHER, Leases, StateStore
from tiercel.statestore.postgres.leases import PostgresLeases
from tiercel.statestore.postgres.statestore import PostgresStateStore
from tiercel.storage.local import LocalStorage

CLEARED = (
    "tq.position, tq.seen, tq.outbox, tq.worker, "
    "tq.member, tq.lease, tq.worker_job, tq.execution_event, tq.trigger_event, tq.history, tq.broadcast, "
    "tq.worker_event, tq.dead_letter, ts.execution, ts.task_run, ts.task_output, ts.held, ts.timer, ts.scope, "
    "ts.trigger, ts.parked, td.flow, td.revision"
)


class MovableClock(SystemClock):
    """The real clock, some time ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclasses.dataclass
class Process:
    """What one process has of a backend."""

    queue: Queue
    state: StateStore
    leases: Leases


class Backend(Protocol):
    """One installation."""

    queue: Queue
    state: StateStore
    leases: Leases

    async def another(self) -> Process:
        """Start what another process would have (the memory backend has only one)."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Make leases, members and messages older."""
        ...

    async def dead_letters(self) -> list[tuple[str, str, str, bytes]]:
        """Return topic, key, reason and body of the dead letters."""
        ...


class MemoryContract(Process):
    """The memory backend."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.backend = MemoryBackend(self.clock)
        super().__init__(queue=self.backend, state=self.backend, leases=self.backend)

    async def another(self) -> Process:
        return self

    async def pass_time(self, seconds: float) -> None:
        self.clock.ahead += timedelta(seconds=seconds)

    async def dead_letters(self) -> list[tuple[str, str, str, bytes]]:
        return [(letter.topic, letter.key, letter.reason, letter.body) for letter in self.backend.dead_letters]

    async def close(self) -> None:
        await self.backend.close()


class PostgresContract(Process):
    """The PostgreSQL adapters on a database of the tests."""

    def __init__(self, uri: str, node: PostgresNode) -> None:
        self.uri = uri
        self.node = node
        self.admin = PostgresPool(uri, session=PLAIN_SESSION)
        self._closers: list[Callable[[], Awaitable[Any]]] = []
        super().__init__(*self._adapters(node))

    @classmethod
    async def open(cls, uri: str) -> PostgresContract:
        contract = cls(uri, await PostgresNode.open(uri, partitions=PARTITIONS_DEFAULT))
        await contract.sql(f"TRUNCATE {CLEARED}")
        return contract

    def _adapters(self, node: PostgresNode) -> tuple[Queue, StateStore, Leases]:
        leases = PostgresLeases(node)
        queue = PostgresQueue(node)
        self._closers += [queue.close, leases.close]
        return queue, PostgresStateStore(node), leases

    async def another(self) -> Process:
        return Process(*self._adapters(await PostgresNode.open(self.uri)))

    async def sql(self, statement: str) -> int:
        return await self.admin.run(statement.encode())

    async def pass_time(self, seconds: float) -> None:
        gone = f"interval '{seconds} seconds'"
        await self.sql(f"UPDATE tq.lease SET expires_at = expires_at - {gone}, taken_at = taken_at - {gone}")
        await self.sql(f"UPDATE tq.member SET seen_at = seen_at - {gone}")
        for topic in ("broadcast", "worker_event", "execution_event", "worker_job"):
            await self.sql(f"UPDATE tq.{topic} SET sent_at = sent_at - {gone}")

    async def dead_letters(self) -> list[tuple[str, str, str, bytes]]:
        rows = await self.admin.fetch(b"SELECT topic, key, reason, body FROM tq.dead_letter ORDER BY id")
        return [(topic, key, reason, body) for topic, key, reason, body in rows]

    async def close(self) -> None:
        for closer in self._closers:
            await closer()
        await self.admin.close()


class KafkaContract(PostgresContract):
    """The adapters on a broker and a database of the tests, with a dispatcher as an executor has it."""

    def __init__(self, uri: str, settings: Settings) -> None:
        self.settings = settings
        self.clock = MovableClock()
        self.links: list[KafkaLink] = []
        self._stack = AsyncExitStack()
        self.uri = uri
        self.admin = PostgresPool(uri, session=PLAIN_SESSION)

    @classmethod
    async def open_on(cls, uri: str, address: str, prefix: str) -> KafkaContract:
        """Open an installation whose topics are read from their ends."""
        kafka = KafkaSettings(bootstrap_servers=address, topic_prefix=prefix, inbox_partitions=4)
        contract = cls(uri, Settings(queue=QueueSettings(type="kafka"), kafka=kafka))
        await contract.sql(f"TRUNCATE {CLEARED}")
        await wiring_kafka.make_topics(contract.settings, uri)
        process = await contract.another()
        contract.queue, contract.state, contract.leases = process.queue, process.state, process.leases
        # Whoever begins to listen wakes everybody once: the dispatcher's channels are heard before a test begins.
        await process.queue.wait(WORKER_JOB, 0.01)
        await process.leases.changed(DISPATCHER, 0.01)
        contract.dispatcher = contract.dispatch_by(process)
        return contract

    def dispatch_by(self, process: Process) -> Dispatcher:
        """Start another dispatcher, which stands by until the first is gone."""
        storage, secrets = LocalStorage(Path(os.devnull)), EnvironmentSecrets()
        adapters = Adapters(queue=process.queue, storage=storage, secrets=secrets, leases=process.leases)
        queue: Any = process.queue
        return wiring_kafka.dispatch(adapters, queue, queue._link, queue._desk.node, self._stack)

    async def another(self) -> Process:
        node = await PostgresNode.open(self.uri, is_patient=True)
        queue, link, desk = await wiring_kafka.queue_with_database("executor", self.settings, node, self._stack)
        queue._clock = self.clock
        if not self.links:
            self.node = node
        self.links.append(link)
        leases = PostgresLeases(node)
        self._stack.push_async_callback(leases.close)
        self._stack.push_async_callback(desk.close)
        return Process(queue, PostgresStateStore(node, desk.mail), leases)

    async def pass_time(self, seconds: float) -> None:
        await super().pass_time(seconds)
        self.clock.ahead += timedelta(seconds=seconds)

    async def close(self) -> None:
        await self._stack.aclose()
        await self.admin.close()
