"""
A clock that stands still until it is moved, and wakes sleepers in the order of their deadlines.

With it a test of hours takes milliseconds.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock that a test moves."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)  # others have their turn, as with the real clock
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._numbers), future))
        await future

    @property
    def next_deadline(self) -> datetime | None:
        """The instant at which the next sleeper wakes, None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def set(self, instant: datetime) -> None:
        """Move to an instant, waking everyone whose deadline has come, in order."""
        while (deadline := self.next_deadline) is not None and deadline <= instant:
            self._now = max(self._now, deadline)
            heapq.heappop(self._sleepers)[2].set_result(None)
        self._now = max(self._now, instant)

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds."""
        self.set(self._now + timedelta(seconds=seconds))
