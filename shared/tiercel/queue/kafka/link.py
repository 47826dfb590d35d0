"""
This process's place at the brokers: one producer, one consumer, and whether they answer.

Everybody who writes or reads on Kafka does it here. What a process sends outside of transactions has an origin of its
own: the process is the only one that keeps it, and sends it again until it is confirmed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from tiercel.errors import TiercelError, Unavailable
from tiercel.messages import codec
from tiercel.messages.history import LogBatch
from tiercel.messages.topics import BROADCAST, HISTORY, Route, Topic, partition_of
from tiercel.model import ids
from tiercel.queue import metrics as queue_metrics
from tiercel.queue.base import Outgoing
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.client import Troubles, servers_of
from tiercel.queue.kafka.consumer import KafkaConsumer
from tiercel.queue.kafka.envelope import Kind, pack
from tiercel.queue.kafka.layout import Layout, TopicKeeper
from tiercel.queue.kafka.offsets import Offsets
from tiercel.queue.kafka.producer import KafkaProducer, Record
from tiercel.queue.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

ASK_EVERY_S: Final = 1.0
"""Brokers that have been silent for this long are asked something."""
SILENT_MAX_S: Final = 10.0
"""And after this long without an answer they count as lost: a request may take four seconds, and is repeated."""
CONFIRM_S: Final = 15.0
"""How long a sender waits for the confirmation of a message before it is told that its fate is unknown."""


Bell = Callable[[str, Sequence[int] | None], None]
"""Wakes who waits for a topic (and partitions of it) in this process."""


class KafkaLink:
    """The clients of one process; `open` makes one."""

    def __init__(self, settings: KafkaSettings, partitions: int, name: str, bell: Bell) -> None:
        self.settings = settings
        self.layout = Layout(settings, partitions)
        self.instance = ids.new_id()
        self.bell = bell
        self._troubles = Troubles(servers_of(settings))
        self.producer = KafkaProducer(settings, name, self._troubles)
        self.consumer = KafkaConsumer(settings, name, self._troubles)
        self.offsets = Offsets(settings, name, self._troubles)
        self._seq = 0
        self._history = self.layout.name(HISTORY)
        self._contact = asyncio.get_running_loop().create_task(self._keep_contact(), name="kafka.contact")

    @classmethod
    async def open(cls, settings: KafkaSettings, partitions: int, name: str, bell: Bell) -> KafkaLink:
        """Check the topics and connect."""
        layout = Layout(settings, partitions)
        await asyncio.to_thread(lambda: TopicKeeper(settings, layout).check())
        return cls(settings, partitions, name, bell)

    def place(self, topic: Topic[Any], partition: int = 0) -> tuple[str, int]:
        """Return where a partition of a topic is."""
        return self.layout.name(topic), partition

    def record(
        self, topic: Topic[Any], partition: int, key: str, body: bytes, origin: str, seq: int, kind: Kind = Kind.MESSAGE
    ) -> Record:
        """Make a record of a message."""
        return Record(self.layout.name(topic), partition, key, pack(origin, seq, topic.level, body, kind))

    def records(self, messages: Sequence[tuple[Outgoing, bytes]], origin: str, first: int) -> list[Record]:
        """Make records of KEYED and BROADCAST messages, numbered from `first` on."""
        made = []
        for seq, (out, body) in enumerate(messages, first):
            keyed = out.topic.route is Route.KEYED
            part = partition_of(out.key, self.layout.partitions) if keyed else 0
            made.append(self.record(out.topic, part, out.key, body, origin, seq))
        self.producer.check(made)
        for name in {out.topic.name for out, _ in messages}:
            queue_metrics.sent(name, [len(body) for out, body in messages if out.topic.name == name])
        return made

    async def emit(self, messages: Sequence[Outgoing]) -> None:
        """
        Send messages; they are on all replicas when this returns.

        Lines of log are before anything else is sent: records of several partitions arrive in any order, and who sees
        a task ended must be able to read its whole log, even if the worker dies in between.
        """
        self.require_contact()
        lines = [out for out in messages if isinstance(out.message, LogBatch)]
        if 0 < len(lines) < len(messages):
            await self._confirmed(lines)
            messages = [out for out in messages if not isinstance(out.message, LogBatch)]
        await self._confirmed(messages)

    async def _confirmed(self, messages: Sequence[Outgoing]) -> None:
        future = self.post(messages)
        done, _ = await asyncio.wait({future}, timeout=CONFIRM_S)  # who emits is answered, confirmed or not
        if not done:
            raise Unavailable(
                f"Kafka has not confirmed {len(messages)} messages within {CONFIRM_S:g} s; they may yet arrive."
            )
        if future.cancelled():
            raise Unavailable("The process stopped before Kafka confirmed a message.")

    def post(self, messages: Sequence[Outgoing], *, always: bool = False) -> asyncio.Future[None]:
        """
        Send messages, with `always` even when many wait, and go on; the future is done when they are confirmed.

        History goes last: brokers work off one request of a sender at a time, and nobody's next step waits for it.
        """
        if not always:
            self.producer.room()
        bodies = [(out, codec.encode(out.message)) for out in messages]
        records = self.records(bodies, f"{self.instance}.0", self._seq + 1)
        self._seq += len(records)
        return self.producer.send(sorted(records, key=lambda record: record.topic == self._history))

    def post_to(self, topic: Topic[Any], partition: int, key: str, body: bytes, kind: Kind) -> None:
        """Send one body to one partition and go on."""
        self.producer.room()
        self._seq += 1
        self.producer.send([self.record(topic, partition, key, body, f"{self.instance}.0", self._seq, kind)])

    @property
    def silent_s(self) -> float:
        """Seconds since the brokers were last heard."""
        return asyncio.get_running_loop().time() - max(self.consumer.heard_at, self.producer.heard_at)

    def require_contact(self) -> None:
        """Raise what keeps the brokers from answering, or us from hearing them; return when nothing does."""
        if self.consumer.failure is not None:
            raise self.consumer.failure
        if self.silent_s > SILENT_MAX_S:
            raise self._troubles.refusal or Unavailable(
                f"Kafka at '{servers_of(self.settings)}' has not answered for {self.silent_s:.0f} s; "
                "are the brokers up?"
            )

    async def health(self) -> str | None:
        """Return what is wrong with the brokers, None when they answer."""
        try:
            self.require_contact()
        except TiercelError as error:
            return str(error)
        return None

    async def _keep_contact(self) -> None:
        """Ask the brokers something when they have been silent, and see whether the producer is heard by them."""
        clock, place = asyncio.get_running_loop().time, self.place(BROADCAST)
        answering_since = clock()
        while True:
            await asyncio.sleep(ASK_EVERY_S)  # silence is what is looked for: no event tells it
            began = clock()
            if self.silent_s >= ASK_EVERY_S:
                try:
                    await asyncio.to_thread(self.offsets.ends, [place])
                except TiercelError:
                    answering_since = clock()
                else:
                    self.consumer.heard_at = max(self.consumer.heard_at, began)
                    self._troubles.refusal = None
            self.producer.look(answering_since)
            metrics.SILENT_SECONDS.set(self.silent_s)

    async def close(self) -> None:
        """Wait a moment for confirmations, then disconnect."""
        self._contact.cancel()
        await asyncio.gather(self._contact, return_exceptions=True)
        await self.producer.close()
        await self.consumer.close()
