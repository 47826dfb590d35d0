"""
The skeleton of a service: started, run until asked to stop, drained, stopped.

A service is constructed with its adapters and settings, and spawns named loops that must not end by themselves. When
one raises, the service stops with that error, and whoever supervises the process starts it again.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Service(abc.ABC):
    """A process's work, without its wiring: `async with service:` starts and stops it; `run` waits for its end."""

    name: str
    instance: str = ""
    """Its name among the instances of the service, in which it owns partitions; set before it starts."""

    def __init__(self) -> None:
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self.ready = asyncio.Event()

    @abc.abstractmethod
    async def start(self) -> None:
        """Take up work; returns when the service is ready."""

    async def drain(self) -> None:  # noqa: B027 a service that holds nothing has nothing to hand back
        """Finish or hand back what is under way, take nothing new."""

    def spawn(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        """Run a loop until the service stops."""
        self._loops.append(asyncio.get_running_loop().create_task(loop, name=f"{self.name}.{name}"))

    @property
    def stopping(self) -> bool:
        """True from the moment when the service was asked to stop."""
        return self._stopping.is_set()

    def request_stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    async def run(self) -> None:
        """Start, work until asked to stop or a loop fails, drain and stop."""
        async with self:
            stop = asyncio.create_task(self._stopping.wait())
            done, _ = await asyncio.wait({stop, *self._loops}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            for task in done - {stop}:
                error = task.exception() if not task.cancelled() else None
                if error is not None:
                    log.error(
                        "service loop failed", exc_info=error, extra={"action": "loop_failed", "loop": task.get_name()}
                    )
                    raise error

    async def __aenter__(self) -> Service:
        await self.start()
        self.ready.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await self.drain()
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops.clear()
