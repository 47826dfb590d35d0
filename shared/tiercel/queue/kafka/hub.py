"""BROADCAST on Kafka: every process reads the topic's one partition from its end on, for all its subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Generic, TypeVar

from tiercel.errors import InternalError, Unavailable
from tiercel.messages import codec
from tiercel.messages.topics import Topic
from tiercel.queue.kafka.consumer import Read
from tiercel.queue.kafka.envelope import unpack
from tiercel.queue.kafka.heard import Heard
from tiercel.queue.kafka.link import KafkaLink

M = TypeVar("M")
log = logging.getLogger(__name__)

LINE_MAX: Final = 20_000
"""Messages that wait for one subscriber; beyond this the topic is read no further."""
RETRY_S: Final = 1.0
"""Between two tries while the brokers are away."""


class KafkaSubscription(Generic[M]):
    """One subscriber's line of messages."""

    def __init__(self, hub: Hub, topic: Topic[M], begin: int) -> None:
        self._hub = hub
        self._topic = topic
        self._begin = begin
        self._line: deque[M] = deque()
        self._moved = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._line)

    def __aiter__(self) -> AsyncIterator[M]:
        return self

    async def __anext__(self) -> M:
        while not self._line:
            if self._closed:
                raise StopAsyncIteration
            self._moved.clear()
            await self._moved.wait()
        message = self._line.popleft()
        self._hub.drained()
        return message

    def put(self, offset: int, message: M) -> None:
        """Take a message, if it was sent after the subscription."""
        if offset >= self._begin:
            self._line.append(message)
            self._moved.set()

    async def aclose(self) -> None:
        """Hear nothing more."""
        self._closed = True
        self._line.clear()
        self._hub.leave(self)
        self._moved.set()


class Hub:
    """One BROADCAST topic in this process."""

    def __init__(self, link: KafkaLink, topic: Topic[Any], since_s: float = 0.0) -> None:
        self._link = link
        self._topic = topic
        self._place = link.place(topic)
        self._lines: list[KafkaSubscription[Any]] = []
        self._heard = Heard()
        self._paused = False
        self._opening: asyncio.Task[None] | None = None
        try:
            self._assign(self._begin(since_s))
        except Unavailable:
            self._opening = asyncio.get_running_loop().create_task(self._open_later(), name="kafka.hub")

    def _begin(self, since_s: float) -> int:
        """Return the offset of what was sent so long ago; asks the brokers, which takes a moment."""
        if since_s:
            return self._link.offsets.since(self._place, since_s)
        return self._link.offsets.ends([self._place])[self._place]

    async def _open_later(self) -> None:
        """Begin as soon as the brokers answer; what was missed until then has its catch-up."""
        while True:
            await asyncio.sleep(RETRY_S)  # brokers do not say that they are back
            try:
                self._assign(await asyncio.to_thread(self._begin, 0.0))
            except Unavailable as error:
                log.debug("broadcasts cannot be read yet: %s", error, extra={"action": "hub_waits"})
            else:
                return

    def _assign(self, offset: int) -> None:
        self._link.consumer.assign({self._place: (offset, self._take)})

    def subscribe(self, *, whole: bool = False) -> KafkaSubscription[Any]:
        """Return a line for what is sent from now on, or for all that is read here."""
        try:
            begin = 0 if whole else self._begin(0.0)
        except Unavailable:
            begin = 0  # rather one too many
        line: KafkaSubscription[Any] = KafkaSubscription(self, self._topic, begin)
        self._lines.append(line)
        return line

    def leave(self, line: KafkaSubscription[Any]) -> None:
        """Forget a line."""
        if line in self._lines:
            self._lines.remove(line)
        self.drained()

    def drained(self) -> None:
        """Go on reading when every line has room again."""
        if self._paused and all(len(line) < LINE_MAX // 2 for line in self._lines):
            self._paused = False
            self._link.consumer.resume(self._place)

    def _take(self, found: Sequence[Read]) -> None:
        for read in found:
            try:
                envelope = unpack(read.value)
                if not self._heard.is_new(envelope.origin, envelope.seq):
                    continue
                message = codec.decode(self._topic, envelope.body, envelope.level)
            except (InternalError, codec.NewerLevel, codec.Undecodable) as error:
                log.warning("a broadcast is passed over: %s", error, extra={"action": "broadcast_skipped"})
                continue
            for line in list(self._lines):
                line.put(read.offset, message)
        if not self._paused and any(len(line) > LINE_MAX for line in self._lines):
            self._paused = True
            self._link.consumer.pause(self._place)
