"""
Sends what requests want to be sent: all that gather while one transaction is under way go in the next one.

Alone, a message is sent at once; under load hundreds share a commit, and each request still answers only when its own
message is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tiercel.errors import Unavailable
from tiercel.queue.base import Outgoing, Queue

COUNT_MAX = 500
"""Messages of one transaction; beyond this it only gets longer."""


class Emitter:
    """Coalesces the messages of concurrent requests."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: list[tuple[Sequence[Outgoing], asyncio.Future[None]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def emit(self, *messages: Outgoing) -> None:
        """Send messages; they are durable when this returns, all or none."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="webserver.emitter")
        await future

    async def _send(self) -> None:
        try:
            await asyncio.sleep(0)  # let the requests of this tick gather
            while self._waiting:
                batch, self._waiting = self._waiting[:COUNT_MAX], self._waiting[COUNT_MAX:]
                await self._send_batch(batch)
        finally:
            self._sender = None

    async def _send_batch(self, batch: list[tuple[Sequence[Outgoing], asyncio.Future[None]]]) -> None:
        try:
            await self._queue.emit(*(message for messages, _ in batch for message in messages))
        except Unavailable as error:
            for _, future in batch:
                _fail(future, error)
        except Exception as error:  # one message that cannot be encoded must not fail its neighbours
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            for part in batch:
                await self._send_batch([part])
        else:
            for _, future in batch:
                if not future.done():
                    future.set_result(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
