"""
Which workers live: judged only by an executor that was connected itself.

Workers say so every few seconds. One that has been silent for the time-out, while this executor heard its queue all the
time, is lost: the attempts that it held are run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from tiercel.executor.core.facts import Lanes

FORGOTTEN_AFTER: Final = 10
"""Time-outs of silence after which a worker is forgotten; one that held a job was declared lost long before."""


class Liveness:
    """When workers were last heard, and since when this executor has been listening without a gap."""

    def __init__(self, timeout_s: float, now: datetime, *, is_alone: bool = False) -> None:
        self._timeout = timedelta(seconds=timeout_s)
        self._is_alone = is_alone
        """Every worker is in this process: those that were heard are all there are."""
        self._heard: dict[str, datetime] = {}
        self._lanes: dict[str, tuple[str, ...]] = {}
        self._connected_since = now
        self._last_contact = now

    def hear(self, worker: str, now: datetime, lanes: tuple[str, ...] = ()) -> None:
        """A worker lives, and takes jobs of these lanes."""
        if worker not in self._heard:
            self._forget_silent(now)
        self._heard[worker] = now
        self._lanes[worker] = lanes

    def served(self, now: datetime) -> Lanes:
        """Return the lanes that live workers serve; they are not whole until this executor has listened for a while."""
        silent_since = now - self._timeout
        found = frozenset(
            lane for worker, lanes in self._lanes.items() if self._heard[worker] > silent_since for lane in lanes
        )
        has_listened = now - self._connected_since >= self._timeout / 3
        return Lanes(found, is_whole=has_listened or bool(self._is_alone and self._heard))

    def contact(self, now: datetime) -> None:
        """This executor has just talked to its queue; a gap makes it wait before it judges again."""
        if now - self._last_contact > self._timeout / 3:
            self._connected_since = now
        self._last_contact = now

    def lost(self, holders: Iterable[str], now: datetime) -> list[str]:
        """Return which of these workers are lost; nobody is while this executor has not listened for long enough."""
        if now - self._connected_since < self._timeout:
            return []
        silent_since = now - self._timeout
        return [worker for worker in set(holders) if self._heard.get(worker, self._connected_since) <= silent_since]

    def _forget_silent(self, now: datetime) -> None:
        """Forget workers that have left without holding anything: where workers come and go, they would pile up."""
        since = now - FORGOTTEN_AFTER * self._timeout
        for worker in [worker for worker, heard in self._heard.items() if heard < since]:
            self.forget(worker)

    def forget(self, worker: str) -> None:
        """A worker's attempts were given to others."""
        self._heard.pop(worker, None)
        self._lanes.pop(worker, None)
