"""What a job carries to be run after it, and what becomes of the result."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, START, Machine
from tiercel.messages import execution_event as events
from tiercel.messages.successor import SuccessorResult, fingerprint
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import LogEntry, OutputRef
from tiercel.model.state import State

RETURN = "io.kestra.plugin.core.debug.Return"


def returning(task_id: str, text: str = "x", **properties: Any) -> dict[str, Any]:
    """A task that only computes."""
    return {"id": task_id, "type": RETURN, "format": text, **properties}


def result_of(job: TaskJob, outputs: dict[str, Any] | None) -> SuccessorResult:
    """What a worker tells of the successor of a job that has ended with these outputs."""
    successor = job.successor
    assert successor is not None
    context = {**successor.context, **{name: job.context[name] for name in successor.kept}}
    if successor.takes_outputs and outputs is not None:
        context["outputs"] = {**(context.get("outputs") or {}), job.task_id: outputs}
    line = LogEntry(namespace="company.team", flow_id="f", timestamp=START, level="INFO", message="from the successor")
    return SuccessorResult(
        task_id=successor.task_id,
        fingerprint=fingerprint(successor.definition, context),
        started_at=START + timedelta(seconds=1),
        ended_at=START + timedelta(seconds=2),
        outputs=OutputRef(size=10, value={"value": "done"}),
        lines=(line,),
    )


@pytest.mark.parametrize(
    "tasks",
    [
        ("a", returning("b", "{{ outputs.a.value }}")),
        ("a", returning("b", "{{ inputs.name }} {{ execution.id }}", runIf="{{ true }}")),
        ("a", returning("no", disabled=True), returning("b")),
        (group("Sequential", "s", "a", returning("b")),),
        ({"id": "i", "type": "io.kestra.plugin.core.flow.If", "condition": True, "then": [task("a"), returning("b")]},),
    ],
)
def test_a_job_carries_the_task_after_it_when_that_only_computes(tasks: tuple[Any, ...]) -> None:
    """In lists whose tasks are run one after the other."""
    job = Machine(flow(*tasks)).create().jobs[0]

    assert ("a", "b") == (job.task_id, job.successor and job.successor.task_id)


@pytest.mark.parametrize(
    "tasks",
    [
        ("a",),
        ("a", "b"),
        (group("Sequential", "s", "a"), returning("b")),
        (group("Parallel", "p", "a", returning("b")),),
        (group("ForEach", "l", "a", returning("b"), values=["x"]),),
        ("a", returning("b", "{{ taskrun.id }}")),
        ("a", returning("b", "{{ tasks.a.state }}")),
        ("a", returning("b", "{{ render(inputs.name) }}")),
        ("a", returning("b", "x" * 5000)),
        ("a", returning("b", taskCache={"enabled": True})),
        ("a", returning("b", logToFile=True)),
        (task("a", workerSelector={"tags": ["gpu"], "fallback": "WAIT"}), returning("b")),
    ],
)
def test_other_tasks_wait_for_their_turn(tasks: tuple[Any, ...]) -> None:
    """Those that do something, that are not next for sure, that reach what is not known yet, or are large."""
    assert [None] == [job.successor for job in Machine(flow(*tasks)).create().jobs if job.task_id == "a"]


def test_a_result_stands_for_the_job_that_it_is_of() -> None:
    """The task run has the history of one that was sent, and what follows it goes on."""
    machine = Machine(flow("a", returning("b", "{{ outputs.a.value }}"), task("c"))).create()
    job = machine.jobs.popleft()
    machine.start(job)

    machine.finish(job, outputs={"value": "a"}, successor=result_of(job, {"value": "a"}))

    assert ["c"] == [each.task_id for each in machine.jobs]
    assert [("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "SUBMITTED")] == machine.states()
    run = machine.rows[1].run
    assert [State.CREATED, State.SUBMITTED, State.RUNNING, State.SUCCESS] == [each.state for each in run.history]
    assert (START + timedelta(seconds=2), 1) == (run.history[-1].date, run.attempt)
    assert {"value": "done"} == machine.outputs[1].ref.value
    assert ["from the successor"] == machine.logs
    assert State.SUCCESS == machine.run().state


def killed(machine: Machine) -> None:
    """Let somebody kill the execution."""
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))


def relabelled(machine: Machine) -> None:
    """Let somebody change what the task could see."""
    machine.step(events.LabelsRequested(execution_id=EXECUTION, at=machine.now, labels=(("a", "b"),)))


def paused(machine: Machine) -> None:
    """Let somebody pause the execution."""
    machine.step(events.PauseRequested(execution_id=EXECUTION, at=machine.now))


@pytest.mark.parametrize(
    ("happens", "expected"),
    [(killed, []), (relabelled, [("b", 1)]), (paused, [])],
)
def test_a_result_that_is_of_another_job_counts_for_nothing(
    happens: Callable[[Machine], None], expected: list[tuple[str, int]]
) -> None:
    """What has happened meanwhile decides; the task is sent as ever, or not at all, and nothing is logged."""
    machine = Machine(flow("a", returning("b", "{{ outputs.a.value }}"))).create()
    job = machine.jobs.popleft()
    machine.start(job)
    happens(machine)

    machine.finish(job, outputs={"value": "a"}, successor=result_of(job, {"value": "a"}))

    assert expected == [(each.task_id, each.attempt) for each in machine.jobs]
    assert [] == machine.logs


def test_a_result_from_other_outputs_counts_for_nothing() -> None:
    """As when the worker that ran it had read them in another way."""
    machine = Machine(flow("a", returning("b", "{{ outputs.a.value }}"))).create()
    job = machine.jobs.popleft()
    machine.start(job)

    machine.finish(job, outputs={"value": "a"}, successor=result_of(job, {"value": "another"}))

    assert ["b"] == [each.task_id for each in machine.jobs]


def test_a_condition_that_does_not_hold_skips_a_task_that_was_run() -> None:
    """Only the executor decides whether a task is run."""
    machine = Machine(flow("a", returning("b", runIf="{{ outputs.a.value == 'go' }}"))).create()
    job = machine.jobs.popleft()
    machine.start(job)

    machine.finish(job, outputs={"value": "stop"}, successor=result_of(job, {"value": "stop"}))

    assert [("a", "SUCCESS"), ("b", "SKIPPED")] == machine.states()
    assert (State.SUCCESS, []) == (machine.state, machine.logs)


def test_a_report_that_comes_twice_counts_once() -> None:
    """The second finds its task run ended."""
    machine = Machine(flow("a", returning("b"))).create()
    job = machine.jobs.popleft()
    machine.start(job)

    for _ in range(2):
        machine.finish(job, successor=result_of(job, None))

    assert ["from the successor"] == machine.logs
    assert State.SUCCESS == machine.state


def test_a_fingerprint_does_not_depend_on_the_order_of_keys_or_on_the_task_run() -> None:
    """But on every value, and on the definition."""
    one, other = msgspec.Raw(b"\x80"), msgspec.Raw(b"\x81\xa1a\x01")
    base = fingerprint(one, {"a": {"x": 1, "y": 2}, "b": 3})

    assert base == fingerprint(one, {"b": 3, "a": {"y": 2, "x": 1}, "taskrun": {"id": "r"}})
    assert base != fingerprint(one, {"a": {"x": 1, "y": 3}, "b": 3})
    assert base != fingerprint(other, {"a": {"x": 1, "y": 2}, "b": 3})
