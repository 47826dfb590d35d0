"""
Follows executions: one loop for all followers of the process, none when nobody follows.

The loop asks for the versions of everything followed in one query, when history says that something changed, and rests
after each as long as that takes to be a small part of its time; a follower wakes only when the version of its own
execution has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tiercel.messages.topics import HISTORY
from tiercel.model.state import State
from tiercel.queue.base import Queue
from tiercel.runtime import retry
from tiercel.runtime.clock import Clock
from tiercel.statestore.base import StateStore

Version = tuple[int, State]
SAFETY_INTERVAL_S = 0.5
"""Followed executions are looked at this often even if no announcement arrives."""
REST_FACTOR = 4
"""A look is followed by a rest of so many times its own length: few are followed at once, and many with few looks."""


class Watch:
    """What one follower sees: the newest version of each execution that it follows."""

    def __init__(self, ids: Iterable[str], clock: Clock) -> None:
        self.ids = set(ids)
        self.known: dict[str, Version] = {}
        self._clock = clock
        self._changed = asyncio.Event()

    def tell(self, execution_id: str, version: Version | None) -> None:
        """Note a version; wake the follower if it is a new one."""
        if self.known.get(execution_id) == version:
            return
        if version is None:
            self.known.pop(execution_id, None)
        else:
            self.known[execution_id] = version
        self._changed.set()

    async def changed(self, timeout: float) -> bool:
        """Wait until something has changed since the last call; False after `timeout` seconds without a change."""
        if not self._changed.is_set():
            waiter = asyncio.ensure_future(self._changed.wait())
            sleeper = asyncio.ensure_future(self._clock.sleep(timeout))  # against the event: whichever comes first
            try:
                await asyncio.wait({waiter, sleeper}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiter.cancel()
                sleeper.cancel()
        happened = self._changed.is_set()
        self._changed.clear()
        return happened

    async def rest(self, execution_id: str, seconds: float) -> None:
        """Wait so long, but for no more than the end of an execution."""
        end = self._clock.now().timestamp() + seconds
        while (left := end - self._clock.now().timestamp()) > 0:
            known = self.known.get(execution_id)
            if known is not None and known[1].is_terminated:
                return
            await self.changed(left)


class Followers:
    """Everyone who follows executions in this process."""

    def __init__(self, statestore: StateStore, queue: Queue, clock: Clock, interval_s: float) -> None:
        self._statestore, self._queue, self._clock, self._interval_s = statestore, queue, clock, interval_s
        self._watches: set[Watch] = set()
        self._loop: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, *ids: str) -> Iterator[Watch]:
        """Follow executions until the block ends; the watch tells their versions from now on."""
        watch = Watch(ids, self._clock)
        self._watches.add(watch)
        if self._loop is None:
            self._loop = asyncio.create_task(self._poll(), name="webserver.followers")
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    async def until(self, execution_id: str, is_done: Callable[[Version | None], bool], timeout: float) -> bool:
        """Wait until the version (None while it is unknown) satisfies the condition; False after the time is over."""
        with self.watch(execution_id) as watch:
            end = self._clock.now().timestamp() + timeout
            watch.tell(execution_id, (await self._statestore.versions([execution_id])).get(execution_id))
            while not is_done(watch.known.get(execution_id)):
                left = end - self._clock.now().timestamp()
                if left <= 0:
                    return False
                await watch.changed(left)
            return True

    async def close(self) -> None:
        """End the loop."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _poll(self) -> None:
        outage = retry.Outage("following of executions")
        try:
            while self._watches:
                began = self._clock.now()
                with outage:
                    await self._look()
                if outage.lasts:
                    await self._clock.sleep(SAFETY_INTERVAL_S)  # a store does not say that it is back
                rest_s = REST_FACTOR * (self._clock.now() - began).total_seconds()
                await self._clock.sleep(min(rest_s, self._interval_s))  # one look serves all changes of this while
                await self._queue.wait(HISTORY, SAFETY_INTERVAL_S)  # an announcement wakes it; the time is a safety net
        finally:
            self._loop = None

    async def _look(self) -> None:
        ids = list({id_ for watch in self._watches for id_ in watch.ids})
        versions = await self._statestore.versions(ids)
        for watch in list(self._watches):
            for id_ in watch.ids:
                watch.tell(id_, versions.get(id_))
