"""
Reading a BROADCAST table without missing what commits late.

Numbers are given when a row is inserted, and rows can be seen only after their commit: a reader that goes by the
highest number passes those that are still to come. So every number that is missing is asked for again, until it has
come or its transaction must have ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Generic, TypeVar

from tiercel.messages import codec
from tiercel.messages.topics import Topic
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import SQL, table_of
from tiercel.runtime import retry
from tiercel.runtime.postgres.array import int8s

log = logging.getLogger(__name__)
M = TypeVar("M")

LATE_S: Final = 30.0
"""Twice the longest that a transaction of the queue may last."""
MISSING_MAX: Final = 1000
"""Numbers that are asked for again at most; a jump of the sequence after a failover is no reason for more."""
COUNT_MAX: Final = 1000
"""Messages that are read at a time."""
POLL_S: Final = 5.0
"""Safety net for a sender that died between its commit and its signal."""
RETRY_S: Final = 0.5
"""Between two tries while the database is away."""


class PostgresSubscription(Generic[M]):
    """The messages of one topic from the moment of the subscription on; each message once."""

    def __init__(self, node: PostgresNode, topic: Topic[M]) -> None:
        self._node = node
        self._topic = topic
        self._table = table_of(topic)
        self._born = time.monotonic()
        self._top: int | None = None
        self._missing: dict[int, float] = {}
        self._ready: deque[M] = deque()
        self._closed = False
        self._outage = retry.Outage(f"reading of {topic.name}")

    def __aiter__(self) -> AsyncIterator[M]:
        return self

    async def __anext__(self) -> M:
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            full = False
            with self._outage:
                full = await self._read()
            if self._outage.lasts:
                await asyncio.sleep(RETRY_S)  # a database does not say that it is back
                continue
            if not self._ready and not full:
                await self._node.wait(self._topic.name, POLL_S)  # a message wakes it; the time is a safety net
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Hear nothing more."""
        self._closed = True
        self._node.wake_here(self._topic.name)

    async def _read(self) -> bool:
        """Read what is new; True when there may be more at once."""
        if self._top is None:
            await self._start()
            return False
        now = time.monotonic()
        self._missing = {number: until for number, until in self._missing.items() if until > now}
        rows = await self._node.pool.fetch(
            SQL.of("broadcast_read", self._table),
            {"top": self._top, "count": COUNT_MAX, "missing": int8s(list(self._missing))},
        )
        for number, level, body in rows:
            self._take(number, level, body)
        return len(rows) >= COUNT_MAX

    async def _start(self) -> None:
        """Find the place to read from: what was there before the subscription is passed over."""
        await self._node.hear(self._topic.name, POLL_S)
        rows = await self._node.pool.fetch(SQL.of("broadcast_start", self._table), {"window": LATE_S})
        age_s = time.monotonic() - self._born  # measured after the answer: rather one too many than one too few
        self._top = rows[0][0]
        for _, number, sent_s_ago, level, body in rows:
            if number is not None:
                self._take(number, level, body if sent_s_ago <= age_s else None)

    def _take(self, number: int, level: int, body: bytes | None) -> None:
        """Note a row, and keep its message when it has one for us."""
        assert self._top is not None
        self._missing.pop(number, None)
        if number > self._top:
            until = time.monotonic() + LATE_S
            for absent in range(max(self._top + 1, number - MISSING_MAX), number):
                self._missing[absent] = until
            self._top = number
        if body is None:
            return
        try:
            self._ready.append(codec.decode(self._topic, body, level))
        except (codec.NewerLevel, codec.Undecodable) as error:
            log.warning("a broadcast is passed over: %s", error, extra={"action": "broadcast_skipped"})
