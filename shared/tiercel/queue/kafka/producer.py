"""
The one way out to the brokers: records in order, each confirmed by all replicas or kept.

What is not confirmed is kept in memory, in order. The library sends it again for as long as it takes; when it gives up
itself (a fatal error: it can no longer promise order), or hangs while brokers answer others, a new client begins at the
oldest record that is not confirmed. Readers drop what they have had, by origin and sequence.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tiercel.errors import Refused, Unavailable
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.client import Troubles, producer_properties
from tiercel.queue.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
"""How long the thread that hears confirmations waits for one; it is woken by each."""
RENEW_PAUSE_S: Final = 1.0
"""Between two clients, when the first has failed for good."""
STUCK_S: Final = 60.0
"""A client that waits this long for a confirmation though brokers answer is replaced; a new leader is found sooner."""
CLOSE_S: Final = 5.0
"""How long a stop waits for confirmations: brokers that are away must not hold it up."""
SOON_S: Final = 0.1
"""How long records that nobody is eager for wait for company, and leave the brokers to others."""
PATIENT: Final[list[tuple[str, str | bytes | None]]] = [("patient", b"1")]
"""
The header of a record that its reader may leave lying for a moment.

A version that does not know it reads it at once, and so is one that comes from another process's outbox, without it.
"""
OVERHEAD: Final = 4096
"""Bytes that a record may be larger than its value."""


class Record(msgspec.Struct, frozen=True):
    """One message for one partition."""

    topic: str
    partition: int
    key: str
    value: bytes
    is_patient: bool = False
    """True when nobody waits for it eagerly: most often another one follows at once."""


class _Batch:
    """Records that are confirmed together."""

    __slots__ = ("future", "left", "records", "since")

    def __init__(self, records: Sequence[Record], future: asyncio.Future[None], since: float) -> None:
        self.records = records
        self.future = future
        self.since = since
        self.left = len(records)


class KafkaProducer:
    """Sends records; made on an event loop, and used from it only."""

    def __init__(self, settings: KafkaSettings, name: str, troubles: Troubles) -> None:
        self._properties = producer_properties(settings, name, troubles)
        self._pending_max = settings.pending_max
        self._size_max = settings.message_size_max - OVERHEAD
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        """When the brokers last confirmed something, by the loop's time."""
        self._unconfirmed: deque[_Batch] = deque()
        self._delayed: list[_Batch] = []
        """Those of `_unconfirmed` that wait for company."""
        self._delay: asyncio.TimerHandle | None = None
        self._pending = 0
        self._lock = threading.Lock()
        self._finished: list[_Batch] = []
        self._generation = 0
        self._closed = False
        self._renewing: asyncio.Task[None] | None = None
        self._client = self._open()

    @property
    def pending(self) -> int:
        """How many records are not confirmed."""
        return self._pending

    def check(self, records: Sequence[Record]) -> None:
        """Refuse what no broker would take."""
        for record in records:
            if len(record.value) > self._size_max:
                raise Refused(
                    f"A message of {len(record.value)} bytes to topic '{record.topic}' is larger than "
                    f"'kafka.message-size-max' allows ({self._size_max}); larger values belong into internal storage."
                )

    def room(self) -> None:
        """Raise Unavailable when too much waits for confirmation already."""
        if self._closed:
            raise Unavailable("The way to Kafka is closed; the process is stopping.")
        if self._pending >= self._pending_max:
            raise Unavailable(f"{self._pending} messages wait for Kafka's confirmation; are the brokers up?")

    def send(self, records: Sequence[Record], *, soon: bool = False) -> asyncio.Future[None]:
        """
        Send records after all that were sent before; the future is done when all of them are confirmed.

        Those that go `soon` are overtaken by others meanwhile: no partition may get both from one origin.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if not records:
            future.set_result(None)
            return future
        batch = _Batch(records, future, self._loop.time())
        self._unconfirmed.append(batch)
        self._pending += len(records)
        metrics.UNCONFIRMED.set(self._pending)
        if self._renewing is None:
            if soon:
                self._produce_soon(batch)
            else:
                self._produce(batch)
        return future

    def look(self, answering_since: float) -> None:
        """Replace a client that gets nothing confirmed, given how long the brokers have answered others."""
        if self._unconfirmed:
            since = max(self._unconfirmed[0].since, self._opened_at, answering_since)
            if self._loop.time() - since > STUCK_S:
                self._fail(f"nothing was confirmed for {STUCK_S:g} s, though the brokers answer", self._generation)

    async def close(self) -> None:
        """Wait a moment for confirmations, then give up what is not confirmed."""
        self._closed = True
        self._produce_delayed()
        waiting = [batch.future for batch in self._unconfirmed]
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_S)  # brokers that are away must not hold up the stop
        if self._renewing is not None:
            self._renewing.cancel()
        self._generation += 1
        for batch in self._unconfirmed:
            if not batch.future.done():
                batch.future.cancel()
        client = self._client
        await asyncio.to_thread(_discard, client)

    def _open(self) -> Producer:
        self._generation += 1
        self._opened_at = self._loop.time()
        client = Producer(self._properties)
        thread = threading.Thread(
            target=self._hear, args=(client, self._generation), name="kafka.producer", daemon=True
        )
        thread.start()
        return client

    def _produce(self, batch: _Batch) -> None:
        generation = self._generation
        batch.left = len(batch.records)

        def reported(error: KafkaError | None, _: Message) -> None:
            if error is None:
                batch.left -= 1
                if batch.left == 0:
                    self._finish(batch, generation)
            else:
                self._loop.call_soon_threadsafe(self._fail, error, generation)

        try:
            for record in batch.records:
                self._client.produce(
                    record.topic, record.value, record.key or None, record.partition, on_delivery=reported,
                    headers=PATIENT if record.is_patient else None,
                )  # fmt: skip
        except (KafkaException, BufferError) as error:
            said = error.args[0] if error.args else error
            self._fail(said, generation)

    def _produce_soon(self, batch: _Batch) -> None:
        self._delayed.append(batch)
        if self._delay is None:
            self._delay = self._loop.call_later(SOON_S, self._produce_delayed)

    def _produce_delayed(self) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        delayed, self._delayed = self._delayed, []
        for batch in delayed:
            if self._renewing is None:  # otherwise they are sent with all that is not confirmed
                self._produce(batch)

    def _hear(self, client: Any, generation: int) -> None:
        """Serve the library's reports: the body of a thread."""
        while generation == self._generation:
            client.poll(POLL_S)

    def _finish(self, batch: _Batch, generation: int) -> None:
        """Take note of a confirmed batch; many of them wake the loop once. Called by the thread."""
        with self._lock:
            self._finished.append(batch)
            first = len(self._finished) == 1
        if first and generation == self._generation:
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
        if finished:
            self.heard_at = self._loop.time()
        for batch in finished:
            if not batch.future.done():
                batch.future.set_result(None)
        while self._unconfirmed and self._unconfirmed[0].future.done():
            self._pending -= len(self._unconfirmed.popleft().records)
        metrics.UNCONFIRMED.set(self._pending)

    def _fail(self, error: Any, generation: int) -> None:
        """Give a client up; once for each."""
        if generation != self._generation or self._renewing is not None or self._closed:
            return
        log.error(
            "Kafka's client gave up (%s); another one sends what is not confirmed",
            error,
            extra={"action": "producer_renewed", "unconfirmed": self._pending},
        )
        metrics.RENEWALS.inc()
        self._renewing = self._loop.create_task(self._renew(), name="kafka.producer.renewal")

    async def _renew(self) -> None:
        old = self._client
        self._generation += 1  # its thread ends, its reports count no more
        await asyncio.to_thread(_discard, old)
        await asyncio.sleep(RENEW_PAUSE_S)  # brokers that refuse a client are not hammered with new ones
        self._settle()
        self._client = self._open()
        self._renewing = None
        self._delayed.clear()
        generation = self._generation
        for batch in list(self._unconfirmed):
            if generation == self._generation and self._renewing is None:
                self._produce(batch)


def _discard(client: Any) -> None:
    """Drop what a client still holds: it is kept by us."""
    client.purge(in_queue=True, in_flight=True, blocking=True)
    client.flush(0.5)
