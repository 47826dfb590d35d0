"""A worker that stops, whose queue is away, or whose disk is full."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.integration.worker_stage import RETURN, SHELL, SLEEP, SlowClaims, World
from tiercel.errors import Unavailable
from tiercel.messages.execution_event import JobReturned, TaskStarted, WorkerLost
from tiercel.messages.topics import WORKER_EVENT
from tiercel.messages.worker_event import WorkerHeartbeat
from tiercel.model.state import State
from tiercel.queue.base import Outgoing
from tiercel.queue.memory import MemoryBackend
from tiercel.storage.local import LocalStorage
from tiercel.testing.fake_clock import FakeClock


async def test_a_stopping_worker_lets_tasks_end(tmp_path: Path) -> None:
    """A clean stop loses nothing, and its last reports are sent."""
    world = World(tmp_path)
    async with world.worker:
        await world.send({"id": "t", "type": SLEEP, "duration": "PT0.2S"})
        await world.until(lambda events: len(events) >= 1)

    assert (await world.finished()).state is State.SUCCESS
    await world.send({"id": "t", "type": RETURN}, "e2")
    assert 2 == len(await world.events())


async def test_what_does_not_end_within_the_grace_is_given_to_others(tmp_path: Path) -> None:
    """It is killed, and told as lost instead of ended."""
    world = World(tmp_path, grace_s=0.05)
    async with world.worker:
        await world.send({"id": "t", "type": SHELL, "commands": ["sleep 60"]})
        await world.until(lambda events: len(events) >= 1)

    last = (await world.events())[-1]
    assert isinstance(last, WorkerLost)
    assert (last.seq, last.attempt, last.worker) == (0, 1, world.worker.worker)


async def test_a_job_that_was_claimed_while_stopping_is_handed_back(tmp_path: Path) -> None:
    """It was not begun, so another worker runs it as the same attempt."""
    queue = SlowClaims()
    world = World(tmp_path, queue)
    async with world.worker:
        await world.send({"id": "t", "type": RETURN})
        await queue.reached.wait()
        world.worker.request_stop()
        queue.go.set()

    assert [TaskStarted, JobReturned] == [type(event) for event in await world.events()]


class Interrupted(MemoryBackend):
    """A queue that can be away."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        super().__init__(clock)
        self.away = False

    async def emit(self, *messages: Outgoing) -> None:
        if self.away:
            raise Unavailable("The queue is away.")
        await super().emit(*messages)


async def test_reports_wait_for_a_lost_queue(tmp_path: Path) -> None:
    """Nothing is lost while the queue is away, and it is told once."""
    queue = Interrupted()
    world = World(tmp_path, queue)
    async with world.worker:
        await world.send({"id": "t", "type": SLEEP, "duration": "PT0.05S"})
        await world.until(lambda events: len(events) >= 1)
        queue.away = True
        await world.worker.crew.idle()
        queue.away = False
        assert (await world.finished()).state is State.SUCCESS
    assert 2 == len(await world.events())


async def test_a_silent_worker_claims_no_more_and_then_ends_what_it_runs(tmp_path: Path) -> None:
    """After 20 s without a heartbeat nothing is claimed; after 30 s what runs is killed and told as lost."""
    clock = FakeClock()
    queue = Interrupted(clock)
    world = World(tmp_path, queue)
    async with world.worker:
        await world.send({"id": "t", "type": SHELL, "commands": ["sleep 60"]})
        await world.until(lambda events: len(events) >= 1)
        queue.away = True
        for _ in range(7):
            await _tick(clock)
        assert world.worker.heart.is_mute
        assert 1 == world.worker.crew.running_count
        for _ in range(4):
            await _tick(clock)
        await world.worker.crew.idle()
        queue.away = False
        events = await world.until(lambda events: len(events) >= 2)
    assert isinstance(events[-1], WorkerLost)


async def _tick(clock: FakeClock) -> None:
    """Let three seconds pass, and what waits for them run."""
    clock.advance(3.01)
    for _ in range(10):
        await asyncio.sleep(0)  # whatever waited for the time goes on


async def test_a_worker_tells_that_it_lives(tmp_path: Path) -> None:
    """A heartbeat says who it is, which lanes it serves and how much it has ended."""
    clock = FakeClock()
    world = World(tmp_path, MemoryBackend(clock), tags=("gpu",), slots=3)
    beats = world.queue.subscribe(WORKER_EVENT)
    async with world.worker:
        beat = await anext(beats)

    assert beat == WorkerHeartbeat(
        worker=world.worker.worker, lanes=("default", "gpu"), slots=3, ended=0, draining=False
    )


class FullStorage(LocalStorage):
    """A storage whose disk is full."""

    async def put(self, *args: Any, **more: Any) -> str:
        raise OSError(28, "No space left on device")


async def test_a_worker_whose_disk_fails_still_reports(tmp_path: Path) -> None:
    """Whatever goes wrong around a task, its run ends, and the worker goes on."""
    world = World(tmp_path)
    world.worker._adapters.storage = FullStorage(tmp_path / "full")
    async with world.worker:
        await world.send({"id": "t", "type": RETURN, "format": "{{ name }}"}, context={"name": "x" * 100_000})
        finished = await world.finished()
        assert finished.state is State.FAILED
        assert "No space left on device" in (finished.error or "")
        await world.send({"id": "t", "type": RETURN, "format": "x"}, "e2")
        assert (await world.finished("e2")).state is State.SUCCESS
