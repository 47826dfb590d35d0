"""
Reads partitions on a thread of its own and hands messages to the event loop in batches.

The library's poll blocks; one thread for all partitions of a process is what is quickest and simplest. It waits for a
first message and takes with it what else is there, so that at rest a message goes on at once and under load hundreds do
together. Where to read is told by the loop; a partition whose reader is slow is paused.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tiercel.errors import InternalError, OperatorError, TiercelError
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.client import Troubles, consumer_properties
from tiercel.queue.kafka.producer import PATIENT
from tiercel.queue.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

Place = tuple[str, int]
"""A topic and a partition of it."""

COUNT_MAX: Final = 1000
"""Messages of one batch."""
POLL_S: Final = 0.1
"""How long a poll waits, and so how late the thread hears of another assignment."""
BATCHES_MAX: Final = 4
"""Batches that the loop has not taken yet; the thread waits beyond."""


class Read(msgspec.Struct, frozen=True):
    """One message as it was read."""

    offset: int
    key: str
    value: bytes
    time_ms: int
    is_patient: bool = False


Taker = Callable[[Sequence[Read]], None]
"""Is given what was read of its partition, on the loop."""


class KafkaConsumer:
    """Reads the partitions that it is told to."""

    def __init__(self, settings: KafkaSettings, name: str, troubles: Troubles) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = Consumer(consumer_properties(settings, name, troubles))
        self._takers: dict[Place, Taker] = {}
        """The thread's own: what was read for one taker is never given to its successor."""
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._open_batches = threading.Semaphore(BATCHES_MAX)
        self._stop = threading.Event()
        self.failure: InternalError | None = None
        """Why nothing is read any more, when that is so: the process must be started again."""
        self._thread = threading.Thread(target=self._run, name="kafka.consumer", daemon=True)
        self._thread.start()
        self.heard_at = self._loop.time()
        """When the brokers were last heard, by the loop's time."""
        self.lost: dict[Place, OperatorError] = {}
        """Partitions that cannot be read from where they were to be."""

    def assign(self, places: Mapping[Place, tuple[int, Taker]]) -> None:
        """Read these partitions too, each from an offset."""
        wanted = [TopicPartition(topic, part, offset) for (topic, part), (offset, _) in places.items()]
        takers = {place: taker for place, (_, taker) in places.items()}
        for place in places:
            self.lost.pop(place, None)

        def command() -> None:
            self._takers.update(takers)
            self._client.incremental_assign(wanted)

        self._commands.put(command)

    def unassign(self, places: Sequence[Place]) -> None:
        """Read these partitions no more."""
        gone = [TopicPartition(*place) for place in places]

        def command() -> None:
            for place in places:
                self._takers.pop(place, None)
            self._client.incremental_unassign(gone)

        self._commands.put(command)

    def pause(self, place: Place) -> None:
        """Read nothing more of a partition for now."""
        self._commands.put(lambda: self._client.pause([TopicPartition(*place)]))

    def resume(self, place: Place) -> None:
        """Go on reading a partition."""
        self._commands.put(lambda: self._client.resume([TopicPartition(*place)]))

    async def close(self) -> None:
        """Read no more."""
        self._stop.set()
        self._open_batches.release()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        """Read until closed: the body of the thread."""
        try:
            self._read()
        except Exception as error:  # nobody sees a thread die: who waits for messages must hear that none will come
            log.exception("reading of Kafka ended", extra={"action": "consumer_died"})
            self.failure = InternalError(f"Nothing is read from Kafka any more: {type(error).__name__}: {error}")
        self._client.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            self._obey()
            first = self._client.poll(POLL_S)
            if first is None:
                continue
            found = [first]
            if first.error() is None:
                found += self._client.consume(COUNT_MAX - 1, 0)
            batch: dict[Place, tuple[Taker, list[Read]]] = {}
            for message in found:
                self._sort(message, batch)
            if batch:
                self._open_batches.acquire()
                self._loop.call_soon_threadsafe(self._take, batch)

    def _obey(self) -> None:
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            try:
                command()
            except KafkaException as error:
                log.error("Kafka's client refuses: %s", error, extra={"action": "consumer_refused"})

    def _sort(self, message: Any, batch: dict[Place, tuple[Taker, list[Read]]]) -> None:
        error = message.error()
        place = (message.topic(), message.partition())
        if error is None:
            known = batch.get(place)
            if known is None:
                taker = self._takers.get(place)
                if taker is None:
                    return
                known = batch[place] = (taker, [])
            key, headers = message.key(), message.headers()
            known[1].append(
                Read(
                    message.offset(), _text(key), message.value() or b"", message.timestamp()[1],
                    headers == PATIENT,
                )
            )  # fmt: skip
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._loop.call_soon_threadsafe(self._lose, place, error.str())
        else:
            log.warning("Kafka: %s", error.str(), extra={"action": "partition_troubled", "topic": place[0]})

    def _lose(self, place: Place, said: str) -> None:
        topic, part = place
        log.error(
            "partition %s of topic '%s' cannot be read on: %s", part, topic, said, extra={"action": "offset_lost"}
        )
        self.lost[place] = OperatorError(
            f"Partition {part} of topic '{topic}' no longer holds the message that is to be read next ({said}): it was "
            "deleted by retention, or the topic was made anew. Messages are lost; restore the topic, or delete the row "
            "of the partition in tq.position and run `tiercel migrate` to go on at its end."
        )

    def _take(self, batch: dict[Place, tuple[Taker, list[Read]]]) -> None:
        """Give a batch to those who read its partitions; called on the loop."""
        self._open_batches.release()
        self.heard_at = self._loop.time()
        for place, (taker, found) in batch.items():
            metrics.RECEIVED.labels(place[0]).inc(len(found))
            try:
                taker(found)
            except TiercelError as error:
                log.error("a message was not understood: %s", error, extra={"action": "message_skipped"})


def _text(key: bytes | None) -> str:
    """Return a key as the database can keep it: a stranger may have written any bytes."""
    return key.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}") if key else ""
