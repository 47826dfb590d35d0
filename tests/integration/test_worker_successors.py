"""A worker runs what a job carries to be run after it, and tells of both in one report; the executor believes it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.integration.worker_stage import LOG, RETURN, SHELL, World
from tests.integration.workshop import Workshop
from tests.statemachine.flows import flow
from tiercel.messages.execution_event import TaskFinished
from tiercel.messages.history import LogBatch, MetricBatch
from tiercel.messages.successor import Successor, fingerprint
from tiercel.messages.topics import HISTORY
from tiercel.model.state import State
from tiercel.runtime.adapters import Adapters
from tiercel.worker import metrics
from tiercel.worker.service import WorkerService

FAIL = "io.kestra.plugin.core.execution.Fail"


def successor(definition: dict[str, Any], **fields: Any) -> Successor:
    """Make the successor of a job."""
    encoded = msgspec.Raw(msgspec.msgpack.encode({"id": "after", **definition}))
    return Successor(**{"task_id": "after", "definition": encoded, "kept": ("inputs",), **fields})


async def test_the_report_tells_of_the_task_after(world: World) -> None:
    """Its outputs, lines and measurements, and of what it is the result."""
    after = successor(
        {"type": RETURN, "format": "{{ inputs.name }}: {{ outputs.t.value }}"},
        takes_outputs=True,
        context={"outputs": {"earlier": {"value": 1}}},
    )

    await world.send({"id": "t", "type": RETURN, "format": "first"}, successor=after)
    result = (await world.finished()).successor

    assert result is not None
    assert {"value": "World: first"} == (result.outputs and result.outputs.value)
    assert {"length", "duration"} == {each.name for each in result.measurements}
    outputs = {"earlier": {"value": 1}, "t": {"value": "first"}}
    assert fingerprint(after.definition, {"inputs": {"name": "World"}, "outputs": outputs}) == result.fingerprint


async def test_lines_of_the_task_after_are_told_by_the_report_alone(world: World) -> None:
    """They are written down only when it counts."""
    after = successor({"type": LOG, "message": "second"})

    await world.send({"id": "t", "type": LOG, "message": "first"}, successor=after)
    result = (await world.finished()).successor

    assert result is not None
    assert [("after", "second")] == [(line.task_id, line.message) for line in result.lines]
    assert ["first"] == [message for _, message in await world.logs()]


@pytest.mark.parametrize(
    "definition",
    [
        {"type": FAIL},
        {"type": SHELL, "commands": ["true"]},
        {"type": "io.example.Unknown"},
        {"type": RETURN, "format": "{{ secret('a') }}"},
        {"type": RETURN, "format": "{{ outputs.t.value }}"},
        {"type": RETURN, "format": "{{ taskrun.id }}"},
        {"type": LOG, "message": ["{{ inputs.long }}"] * 70},
    ],
)
async def test_what_does_not_end_well_at_once_is_not_told(world: World, definition: dict[str, Any]) -> None:
    """It is sent as a job of its own, and the job before has ended all the same."""
    job = {"id": "t", "type": RETURN, "format": "first"}
    context = {"inputs": {"long": "x" * 1000}}

    await world.send(job, context=context, successor=successor(definition))
    end = await world.finished()

    assert (State.SUCCESS, None) == (end.state, end.successor)


async def test_nothing_follows_a_job_that_fails(world: World) -> None:
    """What comes then is for the executor to say."""
    await world.send({"id": "t", "type": FAIL}, successor=successor({"type": RETURN, "format": "x"}))

    end = await world.finished()

    assert isinstance(end, TaskFinished)
    assert (State.FAILED, None) == (end.state, end.successor)


async def test_lines_and_measurements_bear_the_task_run_that_the_executor_made(workshop: Workshop) -> None:
    """Of a chain of tasks; each is counted once."""
    await workshop.deploy(
        flow(
            {"id": "a", "type": LOG, "message": "one"},
            {"id": "b", "type": LOG, "message": "two"},
            {"id": "c", "type": RETURN, "format": "three"},
            {"id": "d", "type": RETURN, "format": "{{ outputs.c.value }}"},
        )
    )
    adapters = Adapters(queue=workshop.queue, storage=workshop.storage, secrets=workshop.secrets)
    before = _ended()
    async with workshop.executor(), WorkerService(adapters):
        await workshop.create("e")
        assert State.SUCCESS is (await workshop.ended("e")).state

    runs = {record.run.task_id: record.run.id for record in await workshop.state.runs("e")}
    found = await workshop.queue.read(HISTORY, range(workshop.queue.partitions), count=1000)
    batches = [one.message for one in found if isinstance(one.message, LogBatch | MetricBatch)]
    entries = [entry for batch in batches for entry in batch.entries]
    assert ["a", "b", "c", "c", "d", "d"] == sorted(str(entry.task_id) for entry in entries)
    assert all(entry.task_run_id == runs[str(entry.task_id)] for entry in entries)
    assert len(batches) == len({(batch.producer, batch.sequence) for batch in batches})
    assert before + 4 == _ended()


def _ended() -> float:
    samples = (sample for family in metrics.ENDED.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("total"))
