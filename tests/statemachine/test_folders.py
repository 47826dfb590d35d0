"""Task runs that a worker tells of from inside a WorkingDirectory."""

from __future__ import annotations

from tests.statemachine.flows import flow, group
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.model.execution import OutputRef
from tiercel.model.state import State


def begun() -> Machine:
    """Let a worker begin a folder with one task."""
    machine = Machine(flow(group("WorkingDirectory", "w", "x"))).create()
    machine.start(machine.jobs[0])
    return machine


def tell(machine: Machine, *states: State) -> Machine:
    """Let the worker tell of the task."""
    for state in states:
        outputs = OutputRef(size=10, value={"exitCode": 1}) if state is State.RETRYING else None
        error = "it failed" if outputs is not None else None
        machine.step(
            events.ChildRunReported(
                execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, worker="w1", task_id="x", state=state,
                outputs=outputs, error=error, task_run_id="x-run",
            )
        )  # fmt: skip
    return machine


def test_a_task_that_its_worker_tries_again_is_one_run_with_attempts() -> None:
    """As one that the executor tries again; the execution itself runs on, for the folder's job does."""
    machine = tell(begun(), State.RUNNING, State.RETRYING, State.RUNNING, State.SUCCESS)
    run = machine.rows[1].run

    assert [
        State.CREATED, State.RUNNING, State.FAILED, State.RETRYING, State.CREATED, State.RUNNING, State.SUCCESS
    ] == [change.state for change in run.history]  # fmt: skip
    assert [State.FAILED, State.SUCCESS] == [attempt.state for attempt in run.attempts]
    assert [State.CREATED, State.RUNNING] == machine.history


def test_a_kill_waits_for_the_worker_that_will_try_again() -> None:
    """The run is the worker's, which tells its end; the folder ends after it."""
    machine = begun()
    job = machine.jobs[0]
    tell(machine, State.RUNNING, State.RETRYING)
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))
    assert [("w", "KILLING"), ("x", "RETRYING")] == machine.states()

    tell(machine, State.KILLED)
    machine.finish(job, State.KILLED)

    assert [("w", "KILLED"), ("x", "KILLED")] == machine.states()
    assert State.KILLED == machine.state


def test_a_kill_without_an_answer_ends_a_task_that_would_be_tried_again() -> None:
    """At its deadline, like all the rest."""
    machine = tell(begun(), State.RUNNING, State.RETRYING)
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    assert State.KILLED == machine.pass_time(60).state
    assert [("w", "KILLED"), ("x", "KILLED")] == machine.states()
