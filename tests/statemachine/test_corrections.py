"""What is dropped, left early, counted in rounds, or corrected afterwards: the lesser ways of an execution."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.model.execution import ParentTask
from tiercel.model.state import State

PAUSE = {"id": "p", "type": "io.kestra.plugin.core.flow.Pause"}
SUBFLOW = {"id": "s", "type": "io.kestra.plugin.core.flow.Subflow", "namespace": "company.team", "flowId": "child"}
EXIT = {"id": "exit", "type": "io.kestra.plugin.core.execution.Exit", "state": "CANCELLED"}


def test_an_execution_of_an_unknown_flow_is_dropped() -> None:
    """Nothing is created; only who waits for its end is told of a failed one."""
    machine = Machine(flow("a"))
    machine.plan = machine.entry.plan = None  # the flow is not there
    create = events.CreateExecution(
        execution_id=EXECUTION, at=machine.now, namespace="company.team", flow_id="gone", flow_revision=1
    )

    assert not machine.step(create).exists

    parent = ParentTask(execution_id="parent", seq=0, attempt=1)
    machine.step(msgspec.structs.replace(create, parent=parent))

    [ended] = machine.messages
    assert isinstance(ended, events.ChildEnded)
    assert State.FAILED == ended.state


def test_an_exit_ends_what_it_stands_in_as_it_says_and_starts_nothing_else() -> None:
    """The If around it and the execution are CANCELLED; the tasks after it have no run."""
    choice = {"id": "if", "type": "io.kestra.plugin.core.flow.If", "condition": "{{ true }}", "then": [EXIT, task("x")]}
    machine = Machine(flow(choice, "end")).create()

    assert State.CANCELLED == machine.state
    assert [("if", "CANCELLED"), ("exit", "CANCELLED")] == machine.states()

    machine = Machine(flow({**EXIT, "state": "WARNING"}, "end")).create()

    assert State.WARNING == machine.state
    assert [("exit", "WARNING")] == machine.states()


def test_task_runs_of_a_loop_bear_the_number_of_the_round() -> None:
    """A loop inside a loop goes on counting from the round of the one around it."""
    often = {"interval": "PT1S"}
    inner = group("LoopUntil", "inner", "x", condition="{{ outputs.inner.iterationCount == 2 }}", checkFrequency=often)
    outer = group(
        "LoopUntil", "outer", inner, condition="{{ outputs.outer.iterationCount == 2 }}", checkFrequency=often
    )
    machine = Machine(flow(outer)).create()
    for _ in range(5):
        machine.run().pass_time(1)

    assert State.SUCCESS == machine.state
    assert [("outer", 1), ("inner", 2), ("x", 2)] == [
        (record.run.task_id, record.run.iteration) for _, record in sorted(machine.rows.items())
    ]


def test_a_loop_under_its_older_name_asks_every_second() -> None:
    """WaitFor has the defaults of its time: a second, at most an hour and a hundred rounds."""
    loop = group("WaitFor", "l", "x", condition="{{ false }}")
    machine = Machine(flow(loop)).create()
    for _ in range(100):
        machine.run().pass_time(1)

    assert State.SUCCESS == machine.run().state
    assert {"iterationCount": 101} == machine.outputs[0].ref.value


def test_a_killed_pause_leaves_its_pause_first() -> None:
    """The history shows that the execution was taken out of the pause to be killed."""
    machine = Machine(flow(PAUSE)).create()
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    wanted = [State.CREATED, State.RUNNING, State.PAUSED, State.RESTARTED, State.KILLING, State.KILLED]
    assert wanted == machine.history


def test_a_working_directory_is_not_submitted() -> None:
    """A worker runs it as a whole; to the flow it is a flowable."""
    folder = group("WorkingDirectory", "w", "x")
    machine = Machine(flow(folder)).create().run()

    assert [State.CREATED, State.RUNNING, State.SUCCESS] == [c.state for c in machine.rows[0].run.history]


def _failed_parent(*rest: str) -> Machine:
    machine = Machine(flow(SUBFLOW, *rest))
    machine.flows["company.team", "child"] = Machine(flow("x").replace("id: f", "id: child", 1)).plan
    machine.create()
    child_ended(machine, State.FAILED)
    assert State.FAILED == machine.state
    return machine


def child_ended(machine: Machine, state: State, child_id: str | None = None) -> None:
    """Let the child end."""
    known = machine.rows[0].child_id
    machine.step(
        events.ChildEnded(
            execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, child_id=child_id or known or "", state=state
        )
    )


def test_a_child_that_is_corrected_corrects_its_parent() -> None:
    """The task run that had failed with it is a success now, and the tasks after it are run."""
    machine = _failed_parent("b")

    child_ended(machine, State.SUCCESS)

    assert State.SUCCESS == machine.run().state
    assert [("s", "SUCCESS"), ("b", "SUCCESS")] == machine.states()


def test_another_child_or_another_failure_corrects_nothing() -> None:
    """Only the end that was told, and only a better one, opens a parent again."""
    machine = _failed_parent()

    child_ended(machine, State.SUCCESS, "somebody-else")
    child_ended(machine, State.KILLED)

    assert State.FAILED == machine.state


def test_an_optional_output_that_cannot_be_rendered_is_left_out() -> None:
    """`required: false` says so; without it the execution fails."""
    output = {"id": "o", "type": "STRING", "value": "{{ outputs.nobody.value }}", "required": False}
    good = {"id": "g", "type": "STRING", "value": "here"}
    machine = Machine(flow("a", outputs=[output, good])).create().run()

    assert State.SUCCESS == machine.state
    assert machine.head is not None
    assert {"g": "here"} == machine.head.execution.outputs

    del output["required"]
    assert State.FAILED == Machine(flow("a", outputs=[output])).create().run().state


def test_a_draft_is_not_run_as_a_subflow() -> None:
    """It is unfinished; the sentence says what to do."""
    machine = Machine(flow(SUBFLOW))
    child = Machine(flow("x").replace("id: f", "id: child", 1)).plan
    child.flow = msgspec.structs.replace(child.flow, draft=True)
    machine.flows["company.team", "child"] = child

    assert State.FAILED == machine.create().state
    assert any("since it is a draft" in line for line in machine.logs)


def test_what_runs_after_a_kill_is_not_meant_by_it() -> None:
    """A kill names the task runs that it means; what runs after the end is none of them."""
    machine = Machine(flow("a", afterExecution=[task("after")])).create()
    job = machine.jobs.popleft()
    machine.start(job)
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))
    machine.finish(job, State.KILLED)

    [killed] = machine.broadcasts
    [after] = machine.jobs
    assert ((job.seq, job.attempt),) == killed.runs
    assert after.seq != job.seq
    assert [("a", "KILLED"), ("after", "SUCCESS")] == machine.run().states()
    assert State.KILLED == machine.state


@pytest.mark.parametrize("place", ["errors", "finally", "afterExecution"])
def test_a_correction_of_a_task_that_decides_nothing_runs_nothing(place: str) -> None:
    """The run has another state; the execution is over as it was."""
    machine = Machine(flow("a", **{place: [task("x")]})).create().run(lambda job: State.FAILED)
    over = machine.history

    correct(machine, "x")

    assert [("a", "FAILED"), ("x", "SUCCESS")] == machine.states()
    assert over == machine.history
    assert not machine.jobs


@pytest.mark.parametrize("further", [{}, {"finally": [task("z")]}])
@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILED])
def test_a_correction_inside_a_folder_runs_nothing(further: dict[str, Any], state: State) -> None:
    """A worker has run the folder as a whole."""
    machine = Machine(flow(group("WorkingDirectory", "w", "x", **further), "b")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    for told in (State.RUNNING, state):
        machine.step(
            events.ChildRunReported(
                execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, worker="w1", task_id="x", state=told
            )
        )
    machine.finish(job, state)
    over = machine.run().history

    correct(machine, "x", State.WARNING)

    assert ("x", "WARNING") in machine.states()
    assert over == machine.history
    assert not machine.jobs


def correct(machine: Machine, task_id: str, state: State = State.SUCCESS) -> None:
    """Set the run of a task to another state."""
    run = machine.rows[machine.seq_of(task_id)].run
    machine.step(events.TaskRunStateRequested(execution_id=EXECUTION, at=machine.now, task_run_id=run.id, state=state))
