"""How much waits in topics, and since when: asked of the brokers now and then, on a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tiercel.messages.topics import TOPICS, Route
from tiercel.queue.base import TopicDepth
from tiercel.queue.kafka.client import Troubles, consumer_properties, raised, servers_of
from tiercel.queue.kafka.link import KafkaLink
from tiercel.queue.kafka.outbox import SQL
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import job_depths

PEEK_S: Final = 3.0
"""How long the oldest messages may take to come."""
LOOK_MS: Final = 10
"""How long the library pauses between its requests for them."""
PEEK_BYTES: Final = 1 << 20
"""Bytes of a partition that one request brings; a larger message comes alone."""


class Depths:
    """Compares positions with the ends of partitions, and looks at the oldest message of each that is behind."""

    def __init__(self, node: PostgresNode, link: KafkaLink) -> None:
        self._node = node
        self._link = link
        self._servers = servers_of(link.settings)
        self._troubles = Troubles(self._servers)
        self._reader: Consumer | None = None

    async def all(self, now: datetime) -> list[TopicDepth]:
        """Return the depth of every topic that has a backlog, of the waiting line and of the dead letters."""
        positions = {(topic, part): offset for topic, part, offset in await self._node.pool.fetch(SQL["all_positions"])}
        names = {topic.name: self._link.layout.name(topic) for topic in TOPICS if topic.route is Route.KEYED}
        places = {(names[topic], part): offset for (topic, part), offset in positions.items() if topic in names}
        behind, since = await asyncio.to_thread(self._look, places)
        found = []
        for topic, name in names.items():
            count = sum(number for (other, _), number in behind.items() if other == name)
            oldest = min((at for (other, _), at in since.items() if other == name), default=None)
            age_s = max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
            found.append(TopicDepth(topic=topic, messages=count, oldest_s=age_s))
        return found + await job_depths(self._node.pool)

    def _look(
        self, places: Mapping[tuple[str, int], int]
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], datetime]]:
        try:
            ends = self._link.offsets.ends(list(places))
            behind = {place: ends[place] - offset for place, offset in places.items() if ends[place] > offset}
            return behind, self._oldest([TopicPartition(*place, places[place]) for place in behind])
        except KafkaException as error:
            raise raised(error, self._servers) from error

    def _oldest(self, wanted: Sequence[TopicPartition]) -> dict[tuple[str, int], datetime]:
        """Read the message at each place, as far as it comes in time."""
        if not wanted:
            return {}
        if self._reader is None:
            # Without the two pauses a look waits for the request of the look before, and for its own full queue.
            more = {"queued.min.messages": 1, "fetch.queue.backoff.ms": LOOK_MS, "fetch.wait.max.ms": LOOK_MS}
            properties = consumer_properties(self._link.settings, "depth", self._troubles)
            self._reader = Consumer(properties | more | {"fetch.message.max.bytes": PEEK_BYTES})
        self._reader.assign(list(wanted))
        found: dict[tuple[str, int], datetime] = {}
        try:
            deadline = time.monotonic() + PEEK_S
            while len(found) < len(wanted) and time.monotonic() < deadline:
                message: Any = self._reader.poll(PEEK_S / 10)
                if message is not None and message.error() is None:
                    place = (message.topic(), message.partition())
                    if place not in found:
                        found[place] = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                        self._reader.incremental_unassign([TopicPartition(*place)])
        finally:
            self._reader.unassign()
        return found

    async def close(self) -> None:
        """Disconnect."""
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)
