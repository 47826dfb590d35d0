"""A worker's judgement of its own silence, on time that jumps."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from tiercel.errors import Unavailable
from tiercel.messages.worker_event import WorkerHeartbeat
from tiercel.queue.base import Queue
from tiercel.testing.virtual_time import LoopClock, run_virtual
from tiercel.worker.heart import Heart
from tiercel.worker.settings import WorkerSettings


class Line:
    """A queue that hears heartbeats, refuses them, or hangs."""

    def __init__(self) -> None:
        self.state = "hears"

    async def emit(self, *messages: Any) -> None:
        if self.state == "hangs":
            await asyncio.get_running_loop().create_future()
        if self.state == "away":
            raise Unavailable("The queue is away.")


async def _silences(*phases: tuple[str, float]) -> list[float]:
    """Let the queue be in a state for so many seconds, one after the other; return when the worker gave up."""
    clock, line, told = LoopClock(), Line(), list[float]()
    heart = Heart(
        cast(Queue, line), clock, WorkerSettings(),
        lambda: WorkerHeartbeat(worker="w", lanes=("default",), slots=1, ended=0),
    )  # fmt: skip
    began = clock.now()
    beating = asyncio.create_task(heart.run(lambda: told.append((clock.now() - began).total_seconds())))
    for state, seconds in phases:
        line.state = state
        await clock.sleep(seconds)  # virtual time: it passes at once
    beating.cancel()
    return [round(second) for second in told]


def test_a_worker_gives_up_thirty_seconds_after_its_last_heartbeat() -> None:
    """However its heartbeats fail: whoever judges it lost does so by the same second."""
    for state in ("hangs", "away"):
        assert [39] == run_virtual(_silences(("hears", 10.0), (state, 100.0)))


def test_each_silence_is_told_once() -> None:
    """A worker that is heard again begins to count anew."""
    silences = run_virtual(_silences(("hears", 10.0), ("away", 60.0), ("hears", 10.0), ("hangs", 60.0)))

    assert 2 == len(silences)
    assert 39 == silences[0]
    assert 100 <= silences[1] <= 112


def test_a_worker_that_is_heard_never_gives_up() -> None:
    """A short outage is none."""
    assert [] == run_virtual(_silences(("hears", 100.0), ("hangs", 15.0), ("hears", 100.0)))
