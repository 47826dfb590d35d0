"""Timers of the partitions that this executor owns: near ones in memory, all of them in the state store."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from datetime import datetime, timedelta

from tiercel.messages.execution_event import TimerDue
from tiercel.model.live import Timer

HORIZON = timedelta(minutes=2)
"""Timers that are due later are not in memory; the store is asked again before they are."""


class Timers:
    """A heap of wake-ups; one that was cleared meanwhile is refused by the decision, so none is ever removed here."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Timer]] = []
        self._known: set[tuple[str, int, int, datetime]] = set()
        self._numbers = itertools.count()

    def add(self, timers: Iterable[Timer], now: datetime) -> None:
        """Keep the near ones."""
        for timer in timers:
            key = (timer.owner, int(timer.kind), timer.subject, timer.due)
            if timer.due <= now + HORIZON and key not in self._known:
                self._known.add(key)
                heapq.heappush(self._heap, (timer.due, next(self._numbers), timer))

    @property
    def next_due(self) -> datetime | None:
        """When the next one is due, None when none is near."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime, limit: int = 500) -> list[TimerDue]:
        """Take the timers that are due, as events."""
        events: list[TimerDue] = []
        while self._heap and self._heap[0][0] <= now and len(events) < limit:
            _, _, timer = heapq.heappop(self._heap)
            self._known.discard((timer.owner, int(timer.kind), timer.subject, timer.due))
            events.append(TimerDue(execution_id=timer.owner, at=now, kind=timer.kind, subject=timer.subject))
        return events

    def clear(self) -> None:
        """Forget all; they are read again."""
        self._heap.clear()
        self._known.clear()
