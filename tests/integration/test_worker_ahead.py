"""A worker runs what only computes before the job is its own, and nothing of it shows until then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.worker_stage import LOG, RETURN, SHELL, SLEEP, World, heard, job_of
from tiercel.messages.execution_event import TaskFinished
from tiercel.messages.history import LogBatch, MetricBatch
from tiercel.model.state import State
from tiercel.worker import metrics
from tiercel.worker.ahead import Ahead

OUTPUT = "io.kestra.plugin.core.output.OutputValues"
FAIL = "io.kestra.plugin.core.execution.Fail"
KEPT = {"enabled": True}


def ended() -> float:
    """How many runs the worker's metrics have counted."""
    return sum(
        sample.value for family in metrics.ENDED.collect() for sample in family.samples if sample.name.endswith("total")
    )


async def test_what_is_told_is_what_a_run_reports(world: World) -> None:
    """Lines, measurements and the end; and it is counted when the job is the worker's."""
    job = job_of({"id": "t", "type": RETURN, "format": "Hello {{ inputs.name }}"})
    ahead, before = Ahead(world.worker.crew), ended()

    told = ahead.told(job)

    assert told is not None
    measured, end = (out.message for out in told)
    assert isinstance(measured, MetricBatch)
    assert isinstance(end, TaskFinished)
    assert (State.SUCCESS, {"value": "Hello World"}) == (end.state, end.outputs and end.outputs.value)
    assert (0, before) == (world.worker.crew.ended_count, ended())
    ahead.taken(job)
    assert (1, before + 1) == (world.worker.crew.ended_count, ended())


async def test_nothing_shows_of_a_run_whose_job_another_took(world: World) -> None:
    """No line, no error for `errorLogs()`, no count."""
    ahead, before = Ahead(world.worker.crew), ended()

    assert ahead.told(job_of({"id": "t", "type": FAIL})) is not None
    ahead.taken(job_of({"id": "other", "type": FAIL}, "e2"))

    assert (0, before) == (world.worker.crew.ended_count, ended())
    assert [] == world.worker.crew.surroundings.error_log.of("e1")
    assert ([], []) == (await world.logs(), await world.events())


async def test_the_errors_of_a_run_are_known_when_the_job_is_taken(world: World) -> None:
    """As `errorLogs()` shows them."""
    job = job_of({"id": "t", "type": FAIL, "errorMessage": "no"})
    ahead = Ahead(world.worker.crew)

    told = ahead.told(job)
    ahead.taken(job)

    assert told is not None
    assert [LogBatch, TaskFinished] == [type(out.message) for out in told]
    assert ["no"] == [line["message"] for line in world.worker.crew.surroundings.error_log.of("e1")]


@pytest.mark.parametrize(
    ("definition", "fields"),
    [
        ({"type": SLEEP, "duration": "PT0S"}, {}),
        ({"type": SHELL, "commands": ["true"]}, {}),
        ({"type": "io.example.Unknown"}, {}),
        ({"type": RETURN, "format": "{{ kv('a') }}"}, {}),
        ({"type": RETURN, "format": "{{ secret('a') }}"}, {}),
        ({"type": RETURN, "format": "{{ http('http://127.0.0.1:1/') }}"}, {}),
        ({"type": RETURN, "format": "{{ read('kestra:///company/team/flow/executions/e1/a') }}"}, {}),
        ({"type": RETURN, "format": "{{ name }}"}, {"context": {"name": "x" * 100_000}}),
        ({"type": LOG, "message": "x", "logToFile": True}, {}),
        ({"type": OUTPUT, "values": {"a": 1}, "taskCache": KEPT}, {}),
    ],
)
async def test_what_may_touch_the_world_is_not_run_ahead(
    world: World, definition: dict[str, Any], fields: dict[str, Any]
) -> None:
    """It is claimed first, and its run begins anew."""
    job = job_of({"id": "t", **definition}, **fields)

    assert Ahead(world.worker.crew).told(job) is None
    await world.send({"id": "t", **definition}, **fields)
    assert 0 == (await world.finished()).seq


async def test_what_was_killed_is_not_run_ahead(world: World) -> None:
    """A kill may overtake its job."""
    await world.kill(seq=0, attempt=1)
    await heard(world, "e1")

    assert Ahead(world.worker.crew).told(job_of({"id": "t", "type": RETURN, "format": "x"})) is None
