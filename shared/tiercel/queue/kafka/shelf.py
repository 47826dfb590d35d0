"""
The backlogs of a process: opened when somebody reads a partition, moved by transactions, closed when nobody asks.

Opening first sends what the partition's former owner has left in its outbox, then reads from the position in the
database. A position that is not where it was believed to be closes the backlog: somebody else owned it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tiercel.errors import OperatorError, TiercelError
from tiercel.messages.topics import TOPICS, Route, Topic
from tiercel.queue.base import Delivery
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.backlog import Backlog, Progress
from tiercel.queue.kafka.link import KafkaLink
from tiercel.queue.kafka.outbox import SQL, Outbox
from tiercel.runtime.postgres.array import int2s, int8s, texts
from tiercel.runtime.postgres.batch import Statement
from tiercel.runtime.postgres.pool import PostgresPool

log = logging.getLogger(__name__)

UNREAD_S: Final = 15.0
"""A backlog that nobody has asked for this long is closed: its partition has another owner."""
TIDY_S: Final = 2.0
"""Between two looks for such backlogs."""
SOON_S: Final = 0.02
"""How long a message that nobody is eager for waits for company."""


class Shelf:
    """All backlogs of one process."""

    def __init__(self, pool: PostgresPool, link: KafkaLink, outbox: Outbox | None) -> None:
        self._pool = pool
        self._link = link
        self._outbox = outbox
        self._backlogs: dict[str, dict[int, Backlog]] = {topic.name: {} for topic in TOPICS}
        self._opening = asyncio.Lock()
        self._later: dict[str, set[int]] = {}
        self._tidier = asyncio.get_running_loop().create_task(self._tidy(), name="kafka.shelf")

    async def backlogs(self, topic: Topic[Any], partitions: Iterable[int]) -> list[Backlog]:
        """Return the backlogs of partitions; open those that are not."""
        known, now = self._backlogs[topic.name], asyncio.get_running_loop().time()
        missing = [part for part in partitions if part not in known]
        if missing:
            async with self._opening:
                await self._open(topic, [part for part in missing if part not in known])
        found = []
        for part in partitions:
            lost = self._link.consumer.lost.get(self._link.place(topic, part))
            if lost is not None:
                raise lost
            backlog = known[part]
            backlog.read_at = now
            found.append(backlog)
        return found

    async def _open(self, topic: Topic[Any], partitions: Sequence[int]) -> None:
        if not partitions:
            return
        if self._outbox is not None and topic.consumers != ("indexer",):
            await self._outbox.inherit()
        about = {"topic": topic.name, "parts": int2s(partitions)}
        positions = dict(await self._pool.fetch(SQL["positions"], about))
        without = [part for part in partitions if part not in positions]
        if without:
            raise OperatorError(
                f"Nobody has said where reading of topic '{topic.name}' begins (partitions {without}); "
                "run `tiercel migrate`."
            )
        seen: dict[int, dict[str, int]] = {part: {} for part in partitions}
        for part, origin, seq in await self._pool.fetch(SQL["seen"], about):
            seen[part][origin] = seq
        made = {part: Backlog(topic, part, positions[part], seen[part], self._arrived) for part in partitions}
        self._backlogs[topic.name] |= made
        self._link.consumer.assign(
            {self._link.place(topic, part): (backlog.position, backlog.take) for part, backlog in made.items()}
        )

    def _arrived(self, backlog: Backlog, is_eager: bool) -> None:
        if backlog.is_full and not backlog.paused:
            backlog.paused = True
            self._link.consumer.pause(self._link.place(backlog.topic, backlog.partition))
        if is_eager:
            self._link.bell(backlog.topic.name, (backlog.partition,))
            return
        later = self._later.setdefault(backlog.topic.name, set())
        if not later:
            asyncio.get_running_loop().call_later(SOON_S, self._ring_later, backlog.topic.name)
        later.add(backlog.partition)

    def _ring_later(self, topic: str) -> None:
        known = self._backlogs[topic]
        parts = [part for part in self._later.pop(topic) if known.get(part)]
        if parts:
            self._link.bell(topic, parts)

    # Acknowledging.

    def plan(self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]]) -> list[Progress] | None:
        """Return how far these move their partitions; None when one of them is read by somebody else by now."""
        by_part: dict[int, list[Delivery[Any]]] = {}
        for delivery in deliveries:
            by_part.setdefault(delivery.partition, []).append(delivery)
        known = self._backlogs[topic.name]
        if any(part not in known or known[part].position > found[0].id for part, found in by_part.items()):
            return None
        return [known[part].progress(found) for part, found in sorted(by_part.items())]

    def statements(self, topic: Topic[Any], plan: Sequence[Progress]) -> Iterator[Statement]:
        """Yield the statement that moves positions and keeps sequences, if there is something to move."""
        if not plan:
            return
        seen = [(progress.partition, origin, seq) for progress in plan for origin, seq in progress.seen.items()]
        yield (
            SQL["advance"],
            {
                "topic": topic.name,
                "seen_parts": int2s([part for part, _, _ in seen]),
                "origins": texts([origin for _, origin, _ in seen]),
                "seqs": int8s([seq for _, _, seq in seen]),
                "parts": int2s([progress.partition for progress in plan]),
                "was": int8s([progress.was for progress in plan]),
                "nexts": int8s([progress.next for progress in plan]),
                "count": len(plan),
            },
        )

    def committed(self, topic: Topic[Any], plan: Sequence[Progress]) -> None:
        """Follow a transaction that was committed."""
        known = self._backlogs[topic.name]
        for progress in plan:
            backlog = known.get(progress.partition)
            if backlog is None or backlog.position != progress.was:
                continue
            backlog.advance(progress)
            if backlog.paused and backlog.has_room:
                backlog.paused = False
                self._link.consumer.resume(self._link.place(topic, backlog.partition))

    def drop(self, topic: Topic[Any], partitions: Iterable[int]) -> None:
        """Close backlogs that are not to be trusted; they are opened anew when somebody asks."""
        gone = [part for part in set(partitions) if self._backlogs[topic.name].pop(part, None) is not None]
        if gone:
            self._link.consumer.unassign([self._link.place(topic, part) for part in gone])

    async def _tidy(self) -> None:
        """Close what nobody reads, and move positions over what only came again."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(TIDY_S)  # that nobody asks is what is looked for
            for topic in TOPICS:
                if topic.route is not Route.KEYED:
                    continue
                known = self._backlogs[topic.name]
                self.drop(topic, [part for part, held in known.items() if clock() - held.read_at > UNREAD_S])
                metrics.BACKLOG.labels(topic.name).set(sum(map(len, known.values())))
                for backlog in list(known.values()):
                    try:
                        await self._pass_over(topic, backlog)
                    except TiercelError as error:
                        log.debug("a position stays: %s", error, extra={"action": "position_kept"})

    async def _pass_over(self, topic: Topic[Any], backlog: Backlog) -> None:
        target, was = backlog.passed, backlog.position
        if target is None:
            return
        moved = await self._pool.run(
            SQL["pass"], {"topic": topic.name, "part": backlog.partition, "was": was, "next": target}
        )
        if moved and backlog.position == was:
            backlog.pass_over(target)

    async def close(self) -> None:
        """Stop tidying."""
        self._tidier.cancel()
        await asyncio.gather(self._tidier, return_exceptions=True)
