"""
What a scheduler knows of the triggers that it owns: their states, their plans, and which comes due next.

Memory follows the database: an entry changes after the transaction that saved it. Only dates within the horizon are
kept in order; when it has come nearer, all are looked at again. A heap entry that no longer says when its trigger is
due is skipped.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from tiercel.messages.topics import partition_of
from tiercel.model.trigger_state import TriggerState
from tiercel.scheduler.core.decide import wake_at
from tiercel.scheduler.core.plan import TriggerPlan, flow_uid


class Entry:
    """One trigger. `plan` is None when its definition cannot be scheduled."""

    __slots__ = ("due", "plan", "state")

    def __init__(self, state: TriggerState, plan: TriggerPlan | None) -> None:
        self.state = state
        self.plan = plan
        self.due = wake_at(state, plan)


class Book:
    """The triggers of the owned partitions."""

    def __init__(self, partitions: int, horizon: timedelta) -> None:
        self._partitions = partitions
        self._reach = horizon
        self._horizon = datetime(1970, 1, 1, tzinfo=UTC)
        self._entries: dict[str, Entry] = {}
        self._by_flow: dict[str, set[str]] = {}
        self._heap: list[tuple[datetime, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def partition(self, uid: str) -> int:
        """Return the partition of a trigger."""
        return partition_of(uid, self._partitions)

    def get(self, uid: str) -> Entry | None:
        """Return what is known of a trigger."""
        return self._entries.get(uid)

    def of_flow(self, flow: str) -> list[str]:
        """Return the triggers of a flow that are known."""
        return sorted(self._by_flow.get(flow, ()))

    def put(self, state: TriggerState, plan: TriggerPlan | None) -> None:
        """Remember a trigger as it is now."""
        entry = self._entries[state.uid] = Entry(state, plan)
        self._by_flow.setdefault(flow_uid(state.uid), set()).add(state.uid)
        if entry.due is not None and entry.due <= self._horizon:
            heapq.heappush(self._heap, (entry.due, state.uid))

    def drop(self, uid: str) -> None:
        """Forget a trigger."""
        if self._entries.pop(uid, None) is not None:
            of_flow = self._by_flow[flow_uid(uid)]
            of_flow.discard(uid)
            if not of_flow:
                del self._by_flow[flow_uid(uid)]

    def drop_partitions(self, partitions: Iterable[int]) -> None:
        """Forget the triggers of partitions that others own by now."""
        gone = set(partitions)
        for uid in [uid for uid in self._entries if self.partition(uid) in gone]:
            self.drop(uid)

    def take_due(self, now: datetime, count: int) -> list[str]:
        """Return triggers that are due, earliest first; they are not due again until they are put."""
        self._look_ahead(now)
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(found) < count:
            due, uid = heapq.heappop(self._heap)
            entry = self._entries.get(uid)
            if entry is not None and entry.due == due:
                entry.due = None
                found.append(uid)
        return found

    def postpone(self, uid: str, until: datetime) -> None:
        """Let a trigger that was taken come due again at another time."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.due = until
            heapq.heappush(self._heap, (until, uid))

    def next_wake(self) -> datetime | None:
        """Return when to look again, None when nothing is known that ever comes due."""
        while self._heap:
            due, uid = self._heap[0]
            entry = self._entries.get(uid)
            if entry is not None and entry.due == due:
                return due
            heapq.heappop(self._heap)
        return self._horizon - self._reach / 2 if self._entries else None

    def _look_ahead(self, now: datetime) -> None:
        """Bring the dates up to a new horizon into order, once half of the way to the old one has passed."""
        if now < self._horizon - self._reach / 2:
            return
        self._horizon = now + self._reach
        self._heap = [
            (entry.due, uid)
            for uid, entry in self._entries.items()
            if entry.due is not None and entry.due <= self._horizon
        ]
        heapq.heapify(self._heap)
