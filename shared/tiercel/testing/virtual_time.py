"""
An event loop whose time jumps: when nothing can run before the next timer, it is that timer's moment at once.

Time passes as it really does while something outside the loop is at work for it: a child process, a thread of
`run_in_executor`, an open socket or pipe. So a test of hours takes milliseconds, and a script that runs for a second
still has its second. `LoopClock` is the clock of such a loop: services that take their time from it and the timeouts
of asyncio itself agree on what time it is.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")
TASK_THREAD: Final = "task-"
"""How the names of threads begin in which workers run tasks that block."""


class _JumpingSelector:
    """A selector that, instead of waiting for nothing but time, moves the loop's time."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._inner = selectors.DefaultSelector()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._inner.select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is None or self._loop.is_busy(self._inner.get_map()):
            return self._inner.select(timeout)
        self._loop.jump(timeout)
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps over the stretches in which nothing happens."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._outside = 0
        self._children: list[asyncio.SubprocessTransport] = []
        super().__init__(_JumpingSelector(self))  # type: ignore[arg-type]  # has the methods that the loop calls

    def time(self) -> float:
        return time.monotonic() + self._offset

    def jump(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._offset += seconds

    def is_busy(self, watched: Mapping[Any, selectors.SelectorKey]) -> bool:
        """Tell whether something outside the loop is at work for it."""
        self._children = [child for child in self._children if child.get_returncode() is None]
        own = 1  # the loop's own wake-up pipe
        if self._outside > 0 or self._children or len(watched) > own:
            return True
        return any(thread.name.startswith(TASK_THREAD) for thread in threading.enumerate())

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # as the loop calls it
        future = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _: asyncio.Future[Any]) -> None:
        self._outside -= 1

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        transport, protocol = await super().subprocess_exec(*args, **options)
        self._children.append(transport)
        return transport, protocol

    async def subprocess_shell(self, *args: Any, **options: Any) -> Any:
        transport, protocol = await super().subprocess_shell(*args, **options)
        self._children.append(transport)
        return transport, protocol


class LoopClock:
    """The clock of the event loop that runs when it is made: the loop's time, counted from `start`."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime.now(UTC)
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time() - self._zero)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))  # the caller knows why


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own whose time jumps; like `asyncio.run`."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
