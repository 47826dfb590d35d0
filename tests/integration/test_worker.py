"""A worker on a queue in memory: what it claims, runs, reports, ends and hands back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from tiercel.errors import Unavailable
from tiercel.messages.broadcast import KillRun
from tiercel.messages.execution_event import (
    ChildRunReported,
    ExecutionEvent,
    JobReturned,
    TaskFinished,
    TaskStarted,
    WorkerLost,
)
from tiercel.messages.history import LogBatch, MetricBatch
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT, HISTORY, WORKER_EVENT
from tiercel.messages.worker_event import WorkerHeartbeat
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register
from tiercel.queue.base import Outgoing, OutgoingJob
from tiercel.queue.memory import MemoryBackend
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.clock import FakeClock
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage import claimcheck
from tiercel.storage.local import LocalStorage
from tiercel.worker.service import WorkerService
from tiercel.worker.settings import WorkerSettings

RETURN = "io.kestra.plugin.core.debug.Return"
LOG = "io.kestra.plugin.core.log.Log"
SLEEP = "io.kestra.plugin.core.flow.Sleep"
SHELL = "io.kestra.plugin.scripts.shell.Commands"
FOLDER = "io.kestra.plugin.core.flow.WorkingDirectory"


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


class World:
    """A queue, a storage, and a worker between them."""

    def __init__(self, tmp_path: Path, backend: MemoryBackend | None = None, **settings: Any) -> None:
        self.queue = backend or MemoryBackend()
        self.storage = LocalStorage(tmp_path / "storage")
        adapters = Adapters(
            queue=self.queue, storage=self.storage, secrets=EnvironmentSecrets({}), clock=self.queue.clock
        )
        values = {"temporary_folder": str(tmp_path / "folders"), "kill_grace_s": 5.0, **settings}
        self.worker = WorkerService(adapters, WorkerSettings(**values))

    async def send(self, definition: dict[str, Any], execution: str = "e1", **fields: Any) -> None:
        job = TaskJob(
            **{
                "tenant_id": "main",
                "namespace": "company.team",
                "flow_id": "flow",
                "flow_revision": 1,
                "execution_id": execution,
                "seq": 0,
                "attempt": 1,
                "task_id": definition["id"],
                "task_run_id": f"run-{execution}",
                "definition": msgspec.Raw(msgspec.msgpack.encode(definition)),
                "context": {
                    "flow": {"id": "flow", "namespace": "company.team"},
                    "execution": {"id": execution},
                    "inputs": {"name": "World"},
                },
                **fields,
            }
        )
        async with self.queue.transaction([]) as unit:
            unit.send(OutgoingJob(job=job))

    async def kill(self, execution: str = "e1", **fields: Any) -> None:
        message = KillRun(execution_id=execution, **fields)
        await self.queue.emit(Outgoing(topic=BROADCAST, key="", message=message))

    async def events(self) -> list[ExecutionEvent]:
        found = await self.queue.read(EXECUTION_EVENT, range(self.queue.partitions), count=100_000)
        return [delivery.message for delivery in found if delivery.message is not None]

    async def until(self, holds: Callable[[list[ExecutionEvent]], bool]) -> list[ExecutionEvent]:
        """Wait until what was reported is enough."""
        async with asyncio.timeout(20):
            while not holds(events := await self.events()):
                await self.queue.wait(EXECUTION_EVENT, 1.0)
        return events

    async def finished(self, execution: str = "e1") -> TaskFinished:
        """Wait until the execution's task has ended."""
        events = await self.until(lambda events: any(_is_end(event, execution) for event in events))
        return next(event for event in events if isinstance(event, TaskFinished) and event.execution_id == execution)

    async def logs(self) -> list[tuple[str, str]]:
        found = await self.queue.read(HISTORY, range(self.queue.partitions), count=100_000)
        batches = [delivery.message for delivery in found if isinstance(delivery.message, LogBatch)]
        return [(entry.level, entry.message) for batch in batches for entry in batch.entries]


def _is_end(event: ExecutionEvent, execution: str) -> bool:
    return isinstance(event, TaskFinished) and event.execution_id == execution


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with made.worker:
        yield made


async def test_a_job_is_started_run_and_reported(world: World) -> None:
    """The start is told with the claim; the end carries state and outputs."""
    await world.send({"id": "t", "type": RETURN, "format": "Hello {{ inputs.name }}"})
    finished = await world.finished()

    started = (await world.events())[0]
    assert isinstance(started, TaskStarted)
    assert (started.seq, started.attempt, started.worker) == (0, 1, world.worker.worker)
    assert finished.state is State.SUCCESS
    assert finished.outputs is not None
    assert finished.outputs.value == {"value": "Hello World"}


async def test_who_sees_the_end_can_read_the_log(world: World) -> None:
    """Lines and measurements leave in the transaction of the report, under the worker's own numbers."""
    await world.send({"id": "t", "type": LOG, "message": ["a", "b"]})
    await world.send({"id": "r", "type": RETURN, "format": "x"}, "e2")
    await world.finished()
    assert await world.logs() == [("INFO", "a"), ("INFO", "b")]
    await world.finished("e2")

    found = await world.queue.read(HISTORY, range(world.queue.partitions), count=100)
    batches = [each.message for each in found if isinstance(each.message, LogBatch | MetricBatch)]
    assert [batch.sequence for batch in batches] == list(range(1, len(batches) + 1))
    assert any(isinstance(batch, MetricBatch) for batch in batches)


async def test_a_failing_task_says_why(world: World) -> None:
    """The sentence is in the report and in the log."""
    await world.send({"id": "t", "type": RETURN, "format": "{{ nothing }}"})
    finished = await world.finished()

    assert finished.state is State.FAILED
    assert "Unable to find `nothing`" in (finished.error or "")
    assert await world.logs() == [("ERROR", finished.error)]


async def test_a_task_that_cannot_be_run_fails(world: World) -> None:
    """A type that the worker does not know ends the task run, not the worker."""
    await world.send({"id": "t", "type": "io.example.Unknown"})
    finished = await world.finished()

    assert finished.state is State.FAILED
    assert "Invalid type: io.example.Unknown" in (finished.error or "")
    await world.send({"id": "t", "type": RETURN, "format": "x"}, "e2")
    assert (await world.finished("e2")).state is State.SUCCESS


async def test_large_outputs_go_to_storage(world: World) -> None:
    """Beyond 64 KiB the report names a file and its digest."""
    await world.send({"id": "t", "type": RETURN, "format": "{{ name }}"}, context={"name": "x" * 100_000})
    finished = await world.finished()

    ref = finished.outputs
    assert ref is not None
    assert ref.uri == "kestra:///company/team/flow/executions/e1/tasks/t/run-e1/outputs-1.json"
    assert ref.value is None
    assert await claimcheck.check_out(world.storage, "main", ref.uri, ref.digest) == {"value": "x" * 100_000}


async def test_outputs_over_the_cap_fail_the_task(tmp_path: Path) -> None:
    """The sentence names the output that is too large."""
    world = World(tmp_path, output_size_max=100_000)
    async with world.worker:
        await world.send({"id": "t", "type": RETURN, "format": "{{ name }}"}, context={"name": "x" * 100_000})
        finished = await world.finished()

    assert finished.state is State.FAILED
    assert "'value' has 100002" in (finished.error or "")


async def test_a_task_over_its_timeout_fails(world: World) -> None:
    """The timeout is rendered."""
    await world.send({"id": "t", "type": SLEEP, "duration": "PT60S", "timeout": "PT0.0{{ 1 }}S"})
    finished = await world.finished()

    assert finished.state is State.FAILED
    assert "Timeout after PT0.01S" in (finished.error or "")


async def test_a_kill_ends_what_runs(world: World) -> None:
    """A killed process is gone when the report comes."""
    await world.send({"id": "t", "type": SHELL, "commands": ["echo up", "sleep 60"]})
    async with asyncio.timeout(20):
        while ("INFO", "up") not in await world.logs():
            await world.queue.wait(HISTORY, 1.0)
    await world.kill()

    assert (await world.finished()).state is State.KILLED
    assert world.worker.crew.running_count == 0


async def test_a_kill_names_attempts(world: World) -> None:
    """A kill of an earlier attempt, another task run or another worker changes nothing; a later attempt is refused."""
    await world.send({"id": "t", "type": SLEEP, "duration": "PT0.2S"}, attempt=2)
    await world.until(lambda events: len(events) == 1)
    await world.kill(seq=0, attempt=1)
    await world.kill(seq=7)
    await world.kill(worker="another")
    assert (await world.finished()).state is State.SUCCESS

    await world.kill("e2", seq=0, attempt=1)
    await world.kill("marker", runs=((0, 1),))
    await _heard(world, "marker")
    await world.send({"id": "t", "type": RETURN}, "e2")
    assert (await world.finished("e2")).state is State.KILLED
    await world.send({"id": "t", "type": RETURN}, "e3")
    assert (await world.finished("e3")).state is State.SUCCESS


async def _heard(world: World, execution: str) -> None:
    """Let the worker take in a broadcast: it waits for nothing but its turn."""
    for _ in range(100):
        await asyncio.sleep(0)
    assert (execution, 0) in world.worker.crew._kills


async def test_a_restart_after_a_kill_is_run(world: World) -> None:
    """A kill holds for the attempts that it names, also when their jobs come later, and for no others."""
    await world.kill("e1", runs=((0, 1),))
    await _heard(world, "e1")
    await world.send({"id": "t", "type": RETURN}, "e1")
    killed = await world.finished("e1")
    await world.send({"id": "t", "type": RETURN}, "e1", attempt=2)

    events = await world.until(lambda events: sum(isinstance(event, TaskFinished) for event in events) == 2)

    assert State.KILLED is killed.state
    assert State.SUCCESS is events[-1].state


async def test_no_more_jobs_are_claimed_than_there_are_slots(tmp_path: Path) -> None:
    """What does not fit stays in the queue for other workers."""
    world = World(tmp_path, slots=2)
    async with world.worker:
        for number in range(3):
            await world.send({"id": "t", "type": SLEEP, "duration": "PT0.1S"}, f"e{number}")
        events = await world.until(lambda events: sum(isinstance(event, TaskFinished) for event in events) == 3)

    running = most = 0
    for event in sorted(events, key=lambda event: event.at):
        running += isinstance(event, TaskStarted)
        running -= isinstance(event, TaskFinished)
        most = max(most, running)
    assert most == 2


async def test_a_stopping_worker_lets_tasks_end(tmp_path: Path) -> None:
    """A clean stop loses nothing, and its last reports are sent."""
    world = World(tmp_path)
    async with world.worker:
        await world.send({"id": "t", "type": SLEEP, "duration": "PT0.2S"})
        await world.until(lambda events: len(events) == 1)

    assert (await world.finished()).state is State.SUCCESS
    await world.send({"id": "t", "type": RETURN}, "e2")
    assert len(await world.events()) == 2


async def test_what_does_not_end_within_the_grace_is_given_to_others(tmp_path: Path) -> None:
    """It is killed, and told as lost instead of ended."""
    world = World(tmp_path, grace_s=0.05)
    async with world.worker:
        await world.send({"id": "t", "type": SHELL, "commands": ["sleep 60"]})
        await world.until(lambda events: len(events) == 1)

    last = (await world.events())[-1]
    assert isinstance(last, WorkerLost)
    assert (last.seq, last.attempt, last.worker) == (0, 1, world.worker.worker)


class SlowClaims(MemoryBackend):
    """A queue whose claims come back when they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def claim(self, *args: Any, **more: Any) -> Any:
        jobs = await super().claim(*args, **more)
        if jobs:
            self.reached.set()
            await self.go.wait()
        return jobs


async def test_a_job_that_was_claimed_while_stopping_is_handed_back(tmp_path: Path) -> None:
    """It was not begun, so another worker runs it as the same attempt."""
    queue = SlowClaims()
    world = World(tmp_path, queue)
    async with world.worker:
        await world.send({"id": "t", "type": RETURN})
        await queue.reached.wait()
        world.worker.request_stop()
        queue.go.set()

    assert [type(event) for event in await world.events()] == [TaskStarted, JobReturned]


async def test_a_kill_that_comes_during_the_claim_holds(tmp_path: Path) -> None:
    """A job whose execution is killed while it is being claimed does not run."""
    queue = SlowClaims()
    world = World(tmp_path, queue)
    async with world.worker:
        await world.send({"id": "t", "type": LOG, "message": "must not run"})
        await queue.reached.wait()
        await world.kill(runs=((0, 1),))
        await _heard(world, "e1")
        queue.go.set()
        assert (await world.finished()).state is State.KILLED
    assert await world.logs() == []


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
        await world.until(lambda events: len(events) == 1)
        queue.away = True
        await world.worker.crew.idle()
        queue.away = False
        assert (await world.finished()).state is State.SUCCESS
    assert len(await world.events()) == 2


async def test_a_silent_worker_claims_no_more_and_then_ends_what_it_runs(tmp_path: Path) -> None:
    """After 20 s without a heartbeat nothing is claimed; after 30 s what runs is killed and told as lost."""
    clock = FakeClock()
    queue = Interrupted(clock)
    world = World(tmp_path, queue)
    async with world.worker:
        await world.send({"id": "t", "type": SHELL, "commands": ["sleep 60"]})
        await world.until(lambda events: len(events) == 1)
        queue.away = True
        for _ in range(7):
            await _tick(clock)
        assert world.worker.heart.is_mute
        assert world.worker.crew.running_count == 1
        for _ in range(4):
            await _tick(clock)
        await world.worker.crew.idle()
        queue.away = False
        events = await world.until(lambda events: len(events) == 2)
    assert isinstance(events[-1], WorkerLost)


async def _tick(clock: FakeClock) -> None:
    """Let three seconds pass, and what waits for them run."""
    clock.advance(3.01)
    for _ in range(10):
        await asyncio.sleep(0)


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


async def test_a_folder_runs_its_tasks_one_by_one(world: World) -> None:
    """Tasks share files and outputs, and each is told of as a run of its own."""
    await world.send(
        {
            "id": "wd",
            "type": FOLDER,
            "inputFiles": {"in.txt": "{{ inputs.name }}"},
            "outputFiles": ["out.txt"],
            "tasks": [
                {"id": "skipped", "type": LOG, "message": "no", "runIf": "{{ 1 == 2 }}"},
                {"id": "off", "type": LOG, "message": "no", "disabled": True},
                {
                    "id": "first",
                    "type": SHELL,
                    "commands": ["cat in.txt > out.txt", """echo '::{"outputs":{"a":1}}::'"""],
                },
                {"id": "second", "type": RETURN, "format": "{{ outputs.first.vars.a }} {{ task.id }}"},
            ],
        }
    )
    finished = await world.finished()

    children = [event for event in await world.events() if isinstance(event, ChildRunReported)]
    assert [(child.task_id, child.state) for child in children] == [
        ("skipped", State.RUNNING),
        ("skipped", State.SKIPPED),
        ("first", State.RUNNING),
        ("first", State.SUCCESS),
        ("second", State.RUNNING),
        ("second", State.SUCCESS),
    ]
    assert children[-1].outputs is not None
    assert children[-1].outputs.value == {"value": "1 second"}
    assert finished.state is State.SUCCESS
    assert finished.outputs is not None
    assert finished.outputs.value is not None
    uri = finished.outputs.value["outputFiles"]["out.txt"]
    assert await world.storage.read("main", uri) == b"World"


async def test_a_folder_ends_with_its_first_failed_task(world: World) -> None:
    """Unless that task may fail."""
    fail = {"id": "fail", "type": "io.kestra.plugin.core.execution.Fail"}
    log = {"id": "log", "type": LOG, "message": "reached"}
    await world.send({"id": "wd", "type": FOLDER, "tasks": [fail, log]})
    assert (await world.finished()).state is State.FAILED
    assert ("INFO", "reached") not in await world.logs()

    await world.send({"id": "wd", "type": FOLDER, "tasks": [{**fail, "allowFailure": True}, log]}, "e2")
    assert (await world.finished("e2")).state is State.WARNING
    assert ("INFO", "reached") in await world.logs()


async def test_a_folder_remembers_files_between_executions(world: World) -> None:
    """Cached files come back, and the cache follows their changes."""
    definition = {
        "id": "wd",
        "type": FOLDER,
        "cache": {"patterns": ["kept/**"], "ttl": "PT1H"},
        "tasks": [
            {"id": "t", "type": SHELL, "commands": ["mkdir -p kept", "echo x >> kept/file", "wc -l < kept/file"]}
        ],
    }
    for number in range(3):
        await world.send(definition, f"e{number}")
        assert (await world.finished(f"e{number}")).state is State.SUCCESS

    assert [message.strip() for level, message in await world.logs() if level == "INFO"] == ["1", "2", "3"]


async def test_a_kill_ends_a_folder_and_its_task(world: World) -> None:
    """The task that runs is told killed, and then the folder."""
    tasks = [{"id": "t", "type": SLEEP, "duration": "PT60S"}, {"id": "u", "type": LOG, "message": "no"}]
    await world.send({"id": "wd", "type": FOLDER, "tasks": tasks})
    await world.until(lambda events: any(isinstance(event, ChildRunReported) for event in events))
    await world.kill()

    assert (await world.finished()).state is State.KILLED
    children = [event for event in await world.events() if isinstance(event, ChildRunReported)]
    assert [(child.task_id, child.state) for child in children] == [("t", State.RUNNING), ("t", State.KILLED)]


async def test_the_log_may_go_into_a_file(world: World) -> None:
    """With `logToFile` lines are in storage and not in history."""
    await world.send({"id": "t", "type": LOG, "message": "in the file", "logToFile": True})
    finished = await world.finished()

    assert finished.log_file is not None
    assert (await world.storage.read("main", finished.log_file)).decode().endswith(" INFO in the file\n")
    assert await world.logs() == []


async def test_cached_outputs_serve_a_run_with_the_same_properties(world: World) -> None:
    """A run with other rendered properties is another entry."""
    cached = {"id": "t", "type": LOG, "taskCache": {"enabled": True, "ttl": "PT1H"}}
    for number, message in enumerate(("{{ inputs.name }}", "{{ inputs.name }}", "World", "other")):
        await world.send({**cached, "message": message, "description": f"number {number}"}, f"e{number}")
        assert (await world.finished(f"e{number}")).state is State.SUCCESS

    assert [message for level, message in await world.logs() if level == "INFO"] == ["World", "other"]


async def test_a_task_that_blocks_has_a_thread_of_its_own(tmp_path: Path) -> None:
    """It uses the same context; its log, its reports and what it stores arrive as from any other task."""
    world = World(tmp_path, log_lines_pending_max=1000)
    async with world.worker:
        await world.send({"id": "t", "type": "io.example.test.Blocking", "format": "{{ read(uri) }}"})
        finished = await world.finished()

    assert finished.error is None
    assert finished.outputs is not None
    assert finished.outputs.value == {"text": "content", "thread": "task-run-e1"}
    assert len(await world.logs()) == 3000
    child = next(event for event in await world.events() if isinstance(event, ChildRunReported))
    assert (child.task_id, child.dynamic, child.state) == ("step", True, State.SUCCESS)


async def test_a_task_that_blocks_is_asked_to_end(tmp_path: Path) -> None:
    """A thread cannot be cancelled: what it registered for a kill is called, and the report does not wait for it."""
    world = World(tmp_path)
    async with world.worker:
        await world.send({"id": "t", "type": "io.example.test.Blocking", "format": "x", "hold": True})
        async with asyncio.timeout(20):
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
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling() > 1:  # type: ignore[union-attr]
                    raise


async def test_a_task_that_ignores_its_end_is_left_behind(tmp_path: Path) -> None:
    """Its slot is free and its end is told after the grace, whatever it does."""
    world = World(tmp_path, kill_grace_s=0.1, slots=1)
    async with world.worker:
        await world.send({"id": "t", "type": "io.example.test.Stubborn"})
        await world.until(lambda events: len(events) == 1)
        await world.kill()
        assert (await world.finished()).state is State.KILLED
        await world.send({"id": "t", "type": RETURN}, "e2")
        assert (await world.finished("e2")).state is State.SUCCESS


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
