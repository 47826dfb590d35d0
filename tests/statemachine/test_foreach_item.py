"""ForEachItem: a file is split, a flow runs for each batch, and what the flows gave is merged."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.family import Family
from tests.statemachine.flows import CORE, flow
from tests.statemachine.machine import EXECUTION, Answer
from tiercel.messages import execution_event as events
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State

SPLITS = "kestra:///splits.txt"
CHILD = flow(
    "work",
    id="child",
    inputs=[{"id": "items", "type": "STRING"}],
    outputs=[{"id": "done", "type": "STRING", "value": "{{ inputs.items }}"}],
)


def family(batches: int = 3, child: str = CHILD, **properties: Any) -> Family:
    """A flow that runs another for each of so many batches."""
    each = {
        "id": "each",
        "type": CORE + "ForEachItem",
        "items": "kestra:///file.txt",
        "namespace": "company.team",
        "flowId": "child",
        "inputs": {"items": "{{ taskrun.items }}#{{ taskrun.iteration }}"},
        **properties,
    }
    found = Family(flow(each, "end"), child, chunk=10)
    found.files[SPLITS] = [f"kestra:///batch-{number}" for number in range(batches)]
    return found


def worker(*failing: str) -> Answer:
    """A worker that splits, and fails for these batches."""

    def answer(job: TaskJob) -> State | tuple[State, dict[str, Any] | None]:
        if job.task_id == "each_split":
            return State.SUCCESS, {"splits": SPLITS}
        if job.task_id == "each_merge":
            return State.SUCCESS, None
        return State.FAILED if job.context.get("inputs", {}).get("items") in failing else State.SUCCESS

    return answer


def split(one: Family) -> Family:
    """Let the file be split, and nothing else."""
    one.work(one.root, worker())
    return one


@pytest.mark.parametrize(("waits", "at_once"), [(True, 7), (False, 25)])
def test_so_many_batches_run_at_a_time(waits: bool, at_once: int) -> None:
    """As many as an execution may have jobs; batches that nobody waits for are not counted."""
    one = family(25, wait=waits, transmitFailed=waits)
    one.settings["jobs_max"] = 7
    split(one.create())

    assert at_once == len(one.members) - 1
    one.run(worker())

    assert [State.SUCCESS] * 26 == [member.state for member in one.members.values()]


def test_every_batch_is_an_execution_of_the_flow() -> None:
    """Three task runs stand below the task; the one between counts the executions."""
    one = family().create().run(worker())

    assert [
        ("each", "SUCCESS"),
        ("each_split", "SUCCESS"),
        ("each_items", "SUCCESS"),
        ("each_merge", "SUCCESS"),
        ("end", "SUCCESS"),
    ] == one.root.states()
    children = [member for member in one.members.values() if member is not one.root]
    inputs = [child.head.execution.inputs for child in children if child.head]
    assert [{"items": f"kestra:///batch-{number}#{number}"} for number in range(3)] == inputs
    outputs = one.outputs("each_items")
    assert {"CREATED": 0, "RUNNING": 0, "SUCCESS": 3} == outputs["iterations"]
    assert 3 == outputs["numberOfBatches"]
    assert b'{done:"kestra:///batch-1#1"}\n' == one.stored[f"{outputs['subflowOutputsBaseUri']}/1/outputs.ion"]


def test_many_batches_are_started_in_chunks() -> None:
    """An event starts a chunk at most, although all may run at once."""
    one = split(family(45).create())

    assert 46 == len(one.members)
    assert 12 >= one.longest_burst
    assert State.SUCCESS == one.run(worker()).root.state


def test_a_file_without_items_needs_no_execution() -> None:
    """The task ends well at once, and has no outputs."""
    one = family(0).create().run(worker())

    assert State.SUCCESS == one.root.state
    assert {} == ({} if not one.root.outputs.get(2) else one.outputs("each_items"))


def test_all_batches_run_before_a_failure_counts() -> None:
    """One that fails does not keep the others from running; nothing is merged."""
    one = family().create().run(worker("kestra:///batch-0#0"))

    assert [("each", "FAILED"), ("each_split", "SUCCESS"), ("each_items", "FAILED")] == one.root.states()
    assert {"CREATED": 0, "RUNNING": 0, "FAILED": 1, "SUCCESS": 2} == one.outputs("each_items")["iterations"]


@pytest.mark.parametrize("properties", [{"transmitFailed": False}, {"wait": False}])
def test_a_failure_that_is_not_transmitted_does_not_matter(properties: dict[str, Any]) -> None:
    """Neither does one that nobody waits for."""
    one = family(**properties).create().run(worker("kestra:///batch-0#0"))

    assert State.SUCCESS == one.root.state


def test_what_nobody_waits_for_is_counted_as_done() -> None:
    """None of its executions is CREATED or RUNNING, as in Kestra."""
    one = split(family(wait=False).create())

    assert {"RUNNING": 0, "SUCCESS": 3} == one.outputs("each_items")["iterations"]


def test_a_missing_flow_fails_the_task() -> None:
    """The log names it."""
    one = Family(family().text)
    one.files[SPLITS] = ["kestra:///batch-0"]

    one.create().run(worker())

    assert State.FAILED == one.root.state
    assert any("Unable to find flow 'company.team'.'child'" in line for line in one.root.logs)


@pytest.mark.parametrize("cascade", [True, False])
def test_a_kill_reaches_the_executions_when_it_cascades(cascade: bool) -> None:
    """Otherwise they go on, and the task waits for them until the deadline."""
    one = split(family().create())

    one.send(events.KillRequested(execution_id=EXECUTION, at=one.now, cascade=cascade))

    states = {member.state for member in one.members.values() if member is not one.root}
    assert {State.KILLED if cascade else State.RUNNING} == states
    assert (State.KILLED if cascade else State.KILLING) == one.root.state

    one.root.pass_time(31)

    assert State.KILLED == one.root.state


def test_a_restart_runs_failed_batches_again() -> None:
    """Only these, in place; then the outputs are merged."""
    one = family().create().run(worker("kestra:///batch-1#1"))

    one.send(events.RestartRequested(execution_id=EXECUTION, at=one.now)).run(worker())

    assert 4 == len(one.members)
    assert State.SUCCESS == one.root.state
    assert {"CREATED": 0, "RUNNING": 0, "SUCCESS": 3} == one.outputs("each_items")["iterations"]
