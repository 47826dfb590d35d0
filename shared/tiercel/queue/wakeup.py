"""
Wake-ups inside a process: who waits for a topic learns that something was sent, and nobody polls.

A wait remembers what its caller has seen, so that what is announced between an empty read and the next wait is not
missed. The caller is known by its task. Waits that run in a task of their own (under `asyncio.wait_for`, say) share
one memory: two such callers on one topic in one process may take a wake-up from each other, and then the timeout that
every wait has is their safety net.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary


class _Signal:
    """What was announced for one topic: a growing number, and the number at which each partition was last named."""

    __slots__ = ("everyone", "number", "parts", "seen", "seen_by_others", "waiters")

    def __init__(self) -> None:
        self.number = 0
        self.everyone = 0
        self.parts: dict[int, int] = {}
        self.waiters: dict[asyncio.Future[None], frozenset[int] | None] = {}
        self.seen: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self.seen_by_others = 0

    def latest(self, partitions: frozenset[int] | None) -> int:
        if partitions is None:
            return self.number
        return max((self.parts.get(part, 0) for part in partitions), default=0) if partitions else 0

    def note(self, task: asyncio.Task[Any] | None) -> None:
        if task is None or task not in self.seen:
            self.seen_by_others = self.number
        if task is not None:
            self.seen[task] = self.number


class Wakeups:
    """Makes waits on named topics return; `sleep` is that of a clock which is not the loop's own."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] | None = None) -> None:
        self._sleep = sleep
        self._signals: dict[str, _Signal] = {}

    def announce(self, topic: str, partitions: Iterable[int] | None = None) -> None:
        """Wake who waits for the topic: for these partitions, or for any of it when they are not known."""
        signal = self._signals.setdefault(topic, _Signal())
        signal.number += 1
        named = None if partitions is None else frozenset(partitions)
        if named is None:
            signal.everyone = signal.number
        else:
            signal.parts.update(dict.fromkeys(named, signal.number))
        for future, wanted in signal.waiters.items():
            if named is None or wanted is None or not named.isdisjoint(wanted):
                _end(future)

    def know(self, topic: str) -> None:
        """Include a topic, for which nobody has waited yet, in what `announce_everything` announces."""
        self._signals.setdefault(topic, _Signal())

    def returned(self, topic: str) -> None:
        """Note that the caller's wait has ended, in another way than by `wait`: it reads what is there by now."""
        self._signals.setdefault(topic, _Signal()).note(asyncio.current_task())

    def announce_everything(self) -> None:
        """Wake everyone: announcements may have been lost."""
        for topic in list(self._signals):
            self.announce(topic)

    async def wait(self, topic: str, timeout: float, partitions: Iterable[int] | None = None) -> None:
        """Return when something was announced since the caller's last wait returned, or after `timeout` seconds."""
        signal = self._signals.setdefault(topic, _Signal())
        wanted = None if partitions is None else frozenset(partitions)
        task = asyncio.current_task()
        seen = signal.seen.get(task, signal.seen_by_others) if task is not None else signal.seen_by_others
        if max(signal.everyone, signal.latest(wanted)) <= seen:
            await self._wait_for_next(signal, wanted, timeout)
        signal.note(task)

    async def _wait_for_next(self, signal: _Signal, wanted: frozenset[int] | None, timeout: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        signal.waiters[future] = wanted
        cancel = self._end_later(future, timeout)
        try:
            await future
        finally:
            del signal.waiters[future]
            cancel()

    def _end_later(self, future: asyncio.Future[None], timeout: float) -> Callable[[], object]:
        """End a wait after a time; return how to call that off."""
        if self._sleep is None:
            return asyncio.get_running_loop().call_later(timeout, _end, future).cancel
        sleeper = asyncio.ensure_future(self._sleep(timeout))
        sleeper.add_done_callback(lambda _: _end(future))
        return sleeper.cancel


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
