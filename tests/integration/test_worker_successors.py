"""A worker runs what a job carries to be run after it, and tells of both in one report."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.integration.worker_stage import LOG, RETURN, SHELL, World
from tiercel.messages.execution_event import TaskFinished
from tiercel.messages.successor import Successor, fingerprint
from tiercel.model.state import State

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
