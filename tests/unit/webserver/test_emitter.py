"""How requests share transactions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tiercel.errors import Unavailable
from tiercel.messages.execution_event import PauseRequested
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.queue.base import Outgoing, OutgoingJob
from tiercel.queue.memory import MemoryBackend
from tiercel.webserver.emitter import Emitter

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counted(MemoryBackend):
    """Counts transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.is_away = False

    async def emit(self, *messages: Outgoing, jobs: list[OutgoingJob] | tuple[()] = ()) -> None:
        await asyncio.sleep(0)  # as with a real queue, others have their turn
        if self.is_away:
            raise Unavailable("The database is away.")
        await super().emit(*messages)
        self.sizes.append(len(messages))


def message(name: str, at: object = NOW) -> Outgoing:
    return Outgoing(topic=EXECUTION_EVENT, key=name, message=PauseRequested(execution_id=name, at=at))


async def test_concurrent_requests_share_a_transaction() -> None:
    """What gathers in a tick, and while a transaction is under way, goes together."""
    queue = Counted()
    emitter = Emitter(queue)

    await asyncio.gather(*(emitter.emit(message(str(n))) for n in range(100)))
    await emitter.emit(message("alone"))

    assert [100, 1] == queue.sizes


async def test_a_lost_queue_fails_every_request() -> None:
    """Nobody is told that a message is durable when it is not; later ones are tried anew."""
    queue = Counted()
    emitter = Emitter(queue)
    queue.is_away = True

    results = await asyncio.gather(*(emitter.emit(message(str(n))) for n in range(3)), return_exceptions=True)
    queue.is_away = False
    await emitter.emit(message("later"))

    assert [Unavailable] * 3 == [type(result) for result in results]
    assert [1] == queue.sizes


async def test_a_message_that_cannot_be_sent_fails_alone() -> None:
    """The neighbours in its transaction are sent."""
    queue = Counted()
    emitter = Emitter(queue)

    results = await asyncio.gather(
        emitter.emit(message("a")),
        emitter.emit(message("bad", object())),
        emitter.emit(message("b")),
        return_exceptions=True,
    )

    assert [None, None] == [results[0], results[2]]
    assert isinstance(results[1], TypeError)
    assert [1, 1] == queue.sizes


async def test_a_caller_who_leaves_does_not_stop_the_others() -> None:
    """A cancelled request's message may still be sent; the others are answered."""
    queue = Counted()
    emitter = Emitter(queue)

    leaving = asyncio.create_task(emitter.emit(message("gone")))
    staying = asyncio.create_task(emitter.emit(message("here")))
    await asyncio.sleep(0)  # both begin to wait
    leaving.cancel()

    await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
