"""A worker on a queue in memory: what it claims, runs and reports."""

from __future__ import annotations

from pathlib import Path

from tests.integration.worker_stage import LOG, RETURN, SLEEP, World
from tiercel.messages.execution_event import TaskFinished, TaskStarted
from tiercel.messages.history import LogBatch, MetricBatch
from tiercel.messages.topics import HISTORY
from tiercel.model.state import State
from tiercel.storage import claimcheck


async def test_a_job_is_started_run_and_reported(world: World) -> None:
    """The start is told with the claim; the end carries state and outputs."""
    await world.send({"id": "t", "type": RETURN, "format": "Hello {{ inputs.name }}"})
    finished = await world.finished()

    started = (await world.events())[0]
    assert isinstance(started, TaskStarted)
    assert (started.seq, started.attempt, started.worker) == (0, 1, world.worker.worker)
    assert finished.state is State.SUCCESS
    assert finished.outputs is not None
    assert {"value": "Hello World"} == finished.outputs.value


async def test_who_sees_the_end_can_read_the_log(world: World) -> None:
    """Lines and measurements leave in the transaction of the report, under the worker's own numbers."""
    await world.send({"id": "t", "type": LOG, "message": ["a", "b"]})
    await world.send({"id": "r", "type": RETURN, "format": "x"}, "e2")
    await world.finished()
    assert [("INFO", "a"), ("INFO", "b")] == await world.logs()
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
    assert [("ERROR", finished.error)] == await world.logs()


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
    assert "kestra:///company/team/flow/executions/e1/tasks/t/run-e1/outputs-1.json" == ref.uri
    assert ref.value is None
    assert {"value": "x" * 100_000} == await claimcheck.check_out(world.storage, "main", ref.uri, ref.digest)


async def test_outputs_over_the_cap_fail_the_task(tmp_path: Path) -> None:
    """The sentence names the output that is too large."""
    world = World(tmp_path, output_size_max=100_000)
    async with world.worker:
        await world.send({"id": "t", "type": RETURN, "format": "{{ name }}"}, context={"name": "x" * 100_000})
        finished = await world.finished()

    assert finished.state is State.FAILED
    assert "'value' has 100002" in (finished.error or "")


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
    assert 2 == most
