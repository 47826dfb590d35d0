"""What a worker does with a task that is to end: by a kill, by its timeout, in a thread, or against its will."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, ClassVar

from tests.integration.worker_stage import FOLDER, LOG, RETURN, SHELL, SLEEP, SlowClaims, World, heard
from tests.patience import PATIENCE_S
from tiercel.messages.execution_event import ChildRunReported, TaskFinished
from tiercel.messages.topics import HISTORY
from tiercel.model.state import State
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register


@register("io.example.test.Blocking")
class Blocking(RunnableTask, frozen=True, kw_only=True):
    """Holds its thread, and uses its context from there."""

    BLOCKING: ClassVar[bool] = True

    format: str
    hold: bool = False

    async def run(self, context: RunContext) -> dict[str, Any]:
        released = threading.Event()
        context.on_kill(released.set)
        uri = await context.store("a.txt", b"content")
        for _ in range(3000):
            context.log("INFO", "line")
        await context.room()
        context.report_run("step", state=State.SUCCESS, outputs={"a": 1})
        if self.hold:
            context.log("INFO", "holding")
            released.wait(30)
        return {"text": await context.render(self.format, uri=uri), "thread": threading.current_thread().name}


async def test_a_task_over_its_timeout_fails(world: World) -> None:
    """The timeout is rendered."""
    await world.send({"id": "t", "type": SLEEP, "duration": "PT60S", "timeout": "PT0.0{{ 1 }}S"})
    finished = await world.finished()

    assert finished.state is State.FAILED
    assert "Timeout after PT0.01S" in (finished.error or "")


async def test_a_kill_ends_what_runs(world: World) -> None:
    """A killed process is gone when the report comes."""
    await world.send({"id": "t", "type": SHELL, "commands": ["echo up", "sleep 60"]})
    async with asyncio.timeout(PATIENCE_S):
        while ("INFO", "up") not in await world.logs():
            await world.queue.wait(HISTORY, 1.0)
    await world.kill()

    assert (await world.finished()).state is State.KILLED
    assert 0 == world.worker.crew.running_count


async def test_a_kill_names_attempts(world: World) -> None:
    """A kill of an earlier attempt, another task run or another worker changes nothing; a later attempt is refused."""
    await world.send({"id": "t", "type": SLEEP, "duration": "PT0.2S"}, attempt=2)
    await world.until(lambda events: len(events) >= 1)
    await world.kill(seq=0, attempt=1)
    await world.kill(seq=7)
    await world.kill(worker="another")
    assert (await world.finished()).state is State.SUCCESS

    await world.kill("e2", seq=0, attempt=1)
    await world.kill("marker", runs=((0, 1),))
    await heard(world, "marker")
    await world.send({"id": "t", "type": RETURN}, "e2")
    assert (await world.finished("e2")).state is State.KILLED
    await world.send({"id": "t", "type": RETURN}, "e3")
    assert (await world.finished("e3")).state is State.SUCCESS


async def test_a_restart_after_a_kill_is_run(world: World) -> None:
    """A kill holds for the attempts that it names, also when their jobs come later, and for no others."""
    await world.kill("e1", runs=((0, 1),))
    await heard(world, "e1")
    await world.send({"id": "t", "type": RETURN}, "e1")
    killed = await world.finished("e1")
    await world.send({"id": "t", "type": RETURN}, "e1", attempt=2)

    events = await world.until(lambda events: sum(isinstance(event, TaskFinished) for event in events) == 2)

    assert State.KILLED is killed.state
    assert State.SUCCESS is events[-1].state


async def test_a_kill_that_comes_during_the_claim_holds(tmp_path: Path) -> None:
    """A job whose execution is killed while it is being claimed does not run."""
    queue = SlowClaims()
    world = World(tmp_path, queue)
    async with world.worker:
        await world.send({"id": "t", "type": LOG, "message": "must not run"})
        await queue.reached.wait()
        await world.kill(runs=((0, 1),))
        await heard(world, "e1")
        queue.go.set()
        assert (await world.finished()).state is State.KILLED
    assert [] == await world.logs()


async def test_a_kill_ends_a_folder_and_its_task(world: World) -> None:
    """The task that runs is told killed, and then the folder."""
    tasks = [{"id": "t", "type": SLEEP, "duration": "PT60S"}, {"id": "u", "type": LOG, "message": "no"}]
    await world.send({"id": "wd", "type": FOLDER, "tasks": tasks})
    await world.until(lambda events: any(isinstance(event, ChildRunReported) for event in events))
    await world.kill()

    assert (await world.finished()).state is State.KILLED
    children = [event for event in await world.events() if isinstance(event, ChildRunReported)]
    assert [("t", State.RUNNING), ("t", State.KILLED)] == [(child.task_id, child.state) for child in children]


async def test_a_kill_ends_a_folder_whose_task_waits_to_be_tried_again(world: World) -> None:
    """The time of the retry is not waited for."""
    retry = {"type": "constant", "interval": "PT1H", "maxAttempts": 2}
    task = {"id": "t", "type": "io.kestra.plugin.core.execution.Fail", "retry": retry}
    await world.send({"id": "wd", "type": FOLDER, "tasks": [task]})
    await world.until(
        lambda events: any(isinstance(each, ChildRunReported) and each.state is State.RETRYING for each in events)
    )
    await world.kill()

    assert (await world.finished()).state is State.KILLED
    children = [event.state for event in await world.events() if isinstance(event, ChildRunReported)]
    assert [State.RUNNING, State.RETRYING, State.KILLED] == children


async def test_a_task_that_blocks_has_a_thread_of_its_own(tmp_path: Path) -> None:
    """It uses the same context; its log, its reports and what it stores arrive as from any other task."""
    world = World(tmp_path, log_lines_pending_max=1000)
    async with world.worker:
        await world.send({"id": "t", "type": "io.example.test.Blocking", "format": "{{ read(uri) }}"})
        finished = await world.finished()

    assert finished.error is None
    assert finished.outputs is not None
    assert {"text": "content", "thread": "task-run-e1"} == finished.outputs.value
    assert 3000 == len(await world.logs())
    child = next(event for event in await world.events() if isinstance(event, ChildRunReported))
    assert (child.task_id, child.dynamic, child.state) == ("step", True, State.SUCCESS)


async def test_a_task_that_blocks_is_asked_to_end(tmp_path: Path) -> None:
    """A thread cannot be cancelled: what it registered for a kill is called, and the report does not wait for it."""
    world = World(tmp_path)
    async with world.worker:
        await world.send({"id": "t", "type": "io.example.test.Blocking", "format": "x", "hold": True})
        async with asyncio.timeout(PATIENCE_S):
            while ("INFO", "holding") not in await world.logs():
                await world.queue.wait(HISTORY, 1.0)
        await world.kill()
        assert (await world.finished()).state is State.KILLED


@register("io.example.test.Stubborn")
class Stubborn(RunnableTask, frozen=True, kw_only=True):
    """Does not end when it is cancelled."""

    async def run(self, context: RunContext) -> None:
        while True:
            try:
                await asyncio.sleep(60)  # it is cancelled long before
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling() > 1:
                    raise


async def test_a_task_that_ignores_its_end_is_left_behind(tmp_path: Path) -> None:
    """Its slot is free and its end is told after the grace, whatever it does."""
    world = World(tmp_path, kill_grace_s=0.1, slots=1)
    async with world.worker:
        await world.send({"id": "t", "type": "io.example.test.Stubborn"})
        await world.until(lambda events: len(events) >= 1)
        await world.kill()
        assert (await world.finished()).state is State.KILLED
        await world.send({"id": "t", "type": RETURN}, "e2")
        assert (await world.finished("e2")).state is State.SUCCESS
