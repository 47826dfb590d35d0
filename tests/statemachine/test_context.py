"""What expressions of an execution see beside what every test uses: errors, the trigger's origin, the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import Machine
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import TriggerInfo
from tiercel.model.state import State

ASKS = {"value": "{{ error.taskId }} {{ error.message }}"}


def running(machine: Machine, *failing: str) -> dict[str, TaskJob]:
    """Run everything; return the jobs by task."""
    jobs: dict[str, TaskJob] = {}

    def answer(job: TaskJob) -> State:
        jobs[job.task_id] = job
        return State.FAILED if job.task_id in failing else State.SUCCESS

    machine.run(answer)
    return jobs


@pytest.mark.parametrize(
    "properties",
    [{"errors": [task("z", **ASKS)]}, {"finally": [task("z", **ASKS)]}, {"afterExecution": [task("z", **ASKS)]}],
)
def test_tasks_after_a_failure_see_the_error(properties: dict[str, Any]) -> None:
    """`error` names the task that failed last, and says why."""
    jobs = running(Machine(flow("a", "b", **properties)).create(), "b")

    assert {"taskId": "b", "message": "it failed", "stackTrace": "it failed"} == jobs["z"].context["error"]


def test_tasks_inside_errors_see_the_error_too() -> None:
    """A flowable of an errors branch passes it on to its children."""
    jobs = running(Machine(flow("a", errors=[group("Sequential", "s", task("z", **ASKS))])).create(), "a")

    assert "a" == jobs["z"].context["error"]["taskId"]


def test_there_is_no_error_without_a_failure() -> None:
    """A finally of a good end sees an empty `error`; a task of the flow itself sees none."""
    jobs = running(Machine(flow(task("a", **ASKS), **{"finally": [task("z", **ASKS)]})).create())

    assert {} == jobs["z"].context["error"]
    assert "error" not in jobs["a"].context


def test_what_runs_after_the_end_sees_its_date() -> None:
    """`execution.endDate` is there when the execution has ended, not before."""
    asks = {"value": "{{ execution.endDate }}"}
    machine = Machine(flow(task("a", **asks), afterExecution=[task("z", **asks)])).create()
    jobs = running(machine)

    assert "endDate" not in jobs["a"].context["execution"]
    assert machine.now == jobs["z"].context["execution"]["endDate"]


@pytest.mark.parametrize(("properties", "origin"), [({}, True), ({"listeners": [{"tasks": [task("l")]}]}, False)])
def test_the_trigger_tells_its_origin_in_the_new_dialect(properties: dict[str, Any], origin: bool) -> None:
    """`trigger._context` holds id and type beside what the trigger has put in."""
    trigger = TriggerInfo(id="t", type="some.Trigger", variables={"n": 1})
    machine = Machine(flow(task("a", value="{{ trigger }}"), **properties)).create(trigger=trigger)
    jobs = running(machine)

    wanted = {"n": 1, **({"_context": {"id": "t", "type": "some.Trigger"}} if origin else {})}
    assert wanted == jobs["a"].context["trigger"]


def test_a_task_with_nothing_around_it_has_no_parents() -> None:
    """`parents` is there and empty; `parent` is not there."""
    jobs = running(Machine(flow("a")).create())

    assert [] == jobs["a"].context["parents"]
    assert "parent" not in jobs["a"].context


def sets(task_id: str, **properties: Any) -> dict[str, Any]:
    """A task that changes the variables of its execution."""
    kind = "SetVariables" if isinstance(properties["variables"], dict) else "UnsetVariables"
    return {"id": task_id, "type": f"io.kestra.plugin.core.execution.{kind}", **properties}


def test_variables_of_the_flow_can_be_changed_and_taken_away() -> None:
    """Maps are merged, a path with dots means what is inside; what was taken away can be set anew."""
    asks = {"value": "{{ vars }}"}
    text = flow(
        sets("s", variables={"x": "new", "m": {"a": 7}, "z": 1}),
        task("a", **asks),
        sets("u", variables=["x", "m.b", "z"]),
        task("b", **asks),
        sets("again", variables={"x": "last"}, overwrite=False),
        task("c", **asks),
        variables={"x": "old", "m": {"a": 1, "b": 2}},
    )

    jobs = running(Machine(text).create())

    assert {"x": "new", "m": {"a": 7, "b": 2}, "z": 1} == jobs["a"].context["vars"]
    assert {"m": {"a": 7}} == jobs["b"].context["vars"]
    assert {"m": {"a": 7}, "x": "last"} == jobs["c"].context["vars"]


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"variables": {"x": 1, "y": 2}, "overwrite": False}, "the following variables already exist: x"),
        ({"variables": ["y"]}, "The variable 'y' is not set"),
        ({"variables": ["x.a"]}, "The variable 'x.a' is not set"),
    ],
)
def test_variables_of_the_flow_are_there_when_others_are_set(properties: dict[str, Any], said: str) -> None:
    """A variable that the flow has exists, whoever has set it."""
    machine = Machine(flow(sets("s", **properties), variables={"x": "old"})).create()

    assert State.FAILED is machine.state
    assert any(said in line for line in machine.logs)


def test_a_script_that_wants_the_context_gets_all_of_it() -> None:
    """A job carries what its expressions reach, unless the whole context is to be written into a file."""
    script = {"id": "s", "type": "io.kestra.plugin.scripts.shell.Commands", "commands": ["true"]}
    for more, outputs in (({}, set()), ({"executionContext": True}, {"a"})):
        machine = Machine(flow("a", {**script, **more}, variables={"v": 1})).create()
        job = machine.jobs.popleft()
        machine.start(job)
        machine.finish(job, outputs={"value": 1})

        context = machine.jobs[0].context

        assert outputs == set(context.get("outputs", {}))
        assert bool(outputs) == ("vars" in context)


def test_a_text_that_is_no_template_takes_nothing_from_the_others() -> None:
    """A description is rendered by nobody: what the value of the task asks for is there all the same."""
    asks = task("b", description="how to write {{ x", value="{{ vars.v }} {{ outputs.a }}")
    jobs = running(Machine(flow("a", asks, variables={"v": 1})).create())

    assert {"v": 1} == jobs["b"].context["vars"]
    assert "a" in jobs["b"].context["outputs"]


def test_an_exit_kills_what_still_runs() -> None:
    """Nothing of an execution that has ended goes on, however well it ended."""
    leave = {"id": "x", "type": "io.kestra.plugin.core.execution.Exit", "state": "SUCCESS"}
    machine = Machine(flow(group("Parallel", "p", "long", leave))).create()
    machine.run(lambda job: State.KILLED)

    assert State.SUCCESS == machine.state
    assert ("long", "KILLED") in machine.states()
