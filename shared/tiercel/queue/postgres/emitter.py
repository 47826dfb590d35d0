"""
Sends what many coroutines emit at the same time in one transaction.

While a transaction is under way, what is emitted gathers and becomes the next one: at rest a message is sent at once,
under load hundreds share a commit. One transaction at a time also keeps the order per producer.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tiercel.errors import TiercelError
from tiercel.messages.topics import HISTORY
from tiercel.queue.postgres.node import Durability, PostgresNode
from tiercel.queue.postgres.sending import Sending

COUNT_MAX: Final = 1000
SIZE_MAX: Final = 8 << 20
"""Bounds of one transaction, in messages and in bytes of their bodies."""


class Emitter:
    """The one way out for messages that belong to no transaction of their own."""

    def __init__(self, node: PostgresNode) -> None:
        self._node = node
        self._waiting: list[tuple[Sending, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def emit(self, sending: Sending) -> None:
        """Send; returns after the commit."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((sending, done))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="postgres.emitter")
        await done

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            batch, futures = self._next_batch()
            try:
                await self._send(batch)
            except BaseException as error:  # cancelled too: who waits for the batch must be told
                _fail(futures, error)
                if not isinstance(error, TiercelError):
                    raise
            else:
                for future in futures:
                    if not future.done():
                        future.set_result(None)

    def _next_batch(self) -> tuple[Sending, list[asyncio.Future[None]]]:
        (batch, future), *rest = self._waiting
        futures = [future]
        for taken, (sending, done) in enumerate(rest):
            if batch.count + sending.count > COUNT_MAX or batch.size + sending.size > SIZE_MAX:
                self._waiting = rest[taken:]
                return batch, futures
            batch.include(sending)
            futures.append(done)
        self._waiting = []
        return batch, futures

    async def _send(self, batch: Sending) -> None:
        touched = batch.touched()
        soon = {HISTORY.name: touched.pop(HISTORY.name)} if HISTORY.name in touched else {}
        await self._node.commit(batch.statements(), touched, Durability.BEHIND, batch)
        # Lines of log and measurements: they are written in batches, and nobody waits for one.
        if soon:
            self._node.announce_soon(soon)


def _fail(futures: list[asyncio.Future[None]], error: BaseException) -> None:
    for future in futures:
        if not future.done():
            if isinstance(error, Exception):
                future.set_exception(error)
            else:
                future.cancel()
