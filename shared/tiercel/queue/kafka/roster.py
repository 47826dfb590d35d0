"""
Who may be sent jobs, and how many: pure counting, without a database or a broker.

A worker's room is what it has granted less what it was sent, both counted since its start. Who works off many jobs in
a moment lets itself be sent some ahead; they go to it only when no other worker has room. All of it counts only while
the worker is heard: one that has died takes at most its room with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tiercel.messages.worker_event import WorkerCredit, WorkerEvent, WorkerHeartbeat

SILENT_S: Final = 7.0
"""A worker that was not heard for this long gets nothing; it says something every three seconds."""
FORGOTTEN_S: Final = 600.0
"""A worker that was not heard for this long is forgotten; one that comes back introduces itself anew."""


class _Worker(msgspec.Struct):
    lanes: tuple[str, ...]
    level: int
    granted: int
    ahead: int
    heard_at: float
    leaving: bool = False
    asks: bool = False
    """It waits to be told how much it was sent."""


class Group:
    """Workers that serve the same lanes, those with the most room first."""

    def __init__(self, lanes: Sequence[str], level: int, give: Callable[[str], None]) -> None:
        self.lanes = lanes
        self.level = level
        self.free = 0
        self._give = give
        self._room: list[tuple[int, str, int]] = []

    def add(self, worker: str, room: int, ahead: int) -> None:
        """Let a worker be sent `room` jobs, and `ahead` more when nobody has room."""
        self.free += room + ahead
        heapq.heappush(self._room, (-room, worker, ahead))

    @property
    def has_room(self) -> bool:
        """True while there is somebody for another job."""
        return bool(self._room)

    @property
    def most(self) -> int:
        """How much room the next worker has; below zero it gets the job ahead."""
        return -self._room[0][0]

    def next(self) -> str:
        """Return the worker that gets the next job, and count it."""
        room, worker, ahead = heapq.heappop(self._room)
        if room + 1 < ahead:
            heapq.heappush(self._room, (room + 1, worker, ahead))
        self._give(worker)
        return worker


class Roster:
    """All workers that are heard."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._workers: dict[str, _Worker] = {}
        self._sent: dict[str, int] = {}
        self._given: dict[str, int] = {}
        """What the transaction under way would make of `sent`."""

    @property
    def names(self) -> list[str]:
        """The workers that are known."""
        return list(self._workers)

    @property
    def free(self) -> int:
        """How many jobs all workers together have room for."""
        now = self._now()
        return sum(
            max(0, self._room(name, worker)) for name, worker in self._workers.items() if _is_served(worker, now)
        )

    @property
    def sent(self) -> dict[str, int]:
        """How much the workers that get something now will have been sent."""
        return self._given

    def begin(self, sent: Mapping[str, int]) -> None:
        """Start from what the database says."""
        self._sent = dict(sent)
        self._given = {}

    def hear(self, message: WorkerEvent) -> bool:
        """Note what a worker says; tell whether there may be more to do now."""
        now = self._now()
        if isinstance(message, WorkerHeartbeat):
            known = self._workers.get(message.worker)
            if known is None:
                return False
            was_silent = now - known.heard_at > SILENT_S
            known.heard_at = now
            return was_silent
        known = self._workers.get(message.worker)
        more = (
            known is None
            or message.granted > known.granted
            or message.ahead > known.ahead
            or message.leaving
            or now - known.heard_at > SILENT_S
        )
        self._workers[message.worker] = _of(message, now)
        return more

    def groups(self) -> list[Group]:
        """Return where there is room for jobs; forget who has been silent for long."""
        now, found = self._now(), dict[tuple[tuple[str, ...], int], Group]()
        self._given = {}
        for name, worker in list(self._workers.items()):
            if now - worker.heard_at > FORGOTTEN_S:
                del self._workers[name]
                continue
            room = self._room(name, worker)
            if room + worker.ahead <= 0 or not _is_served(worker, now):
                continue
            key = (worker.lanes, worker.level)
            if key not in found:
                found[key] = Group(worker.lanes, worker.level, self._give)
            found[key].add(name, room, worker.ahead)
        return list(found.values())

    def _room(self, name: str, worker: _Worker) -> int:
        return worker.granted - self._sent.get(name, 0)

    def _give(self, worker: str) -> None:
        self._given[worker] = self._given.get(worker, self._sent.get(worker, 0)) + 1

    def committed(self) -> None:
        """Follow a transaction that was committed."""
        self._sent |= self._given
        self._given = {}

    def forget_sent(self) -> None:
        """Nobody knows what was sent: the database is to be asked."""
        self._given = {}

    def leaving(self) -> Iterator[tuple[str, int]]:
        """Yield workers that ask how much they were sent, once for each time that they ask."""
        for name, worker in self._workers.items():
            if worker.asks:
                worker.asks = False
                yield name, self._sent.get(name, 0)


def _is_served(worker: _Worker, now: float) -> bool:
    return not worker.leaving and now - worker.heard_at <= SILENT_S


def _of(message: WorkerCredit, now: float) -> _Worker:
    ahead = max(0, message.ahead)
    return _Worker(message.lanes, message.level, message.granted, ahead, now, message.leaving, message.leaving)
