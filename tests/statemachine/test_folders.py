"""Task runs that a worker tells of from inside a WorkingDirectory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.messages.broadcast import KillRun
from tiercel.model.execution import OutputRef
from tiercel.model.state import State


def begun() -> Machine:
    """Let a worker begin a folder with one task."""
    machine = Machine(flow(group("WorkingDirectory", "w", "x"))).create()
    machine.start(machine.jobs[0])
    return machine


def tell(machine: Machine, *states: State, task_id: str = "x", seq: int = 0, attempt: int = 1) -> Machine:
    """Let the worker tell of a task."""
    for state in states:
        outputs = OutputRef(size=10, value={"exitCode": 1}) if state is State.RETRYING else None
        error = "it failed" if outputs is not None else None
        machine.step(
            events.ChildRunReported(
                execution_id=EXECUTION, at=machine.now, seq=seq, attempt=attempt, worker="w1", task_id=task_id,
                state=state, outputs=outputs, error=error, task_run_id=f"{task_id}-run",
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


def renewing(attempt_number: int = 1, **properties: Any) -> Machine:
    """Let a worker begin a folder whose task is tried again by a new execution."""
    retry = {"type": "constant", "interval": "PT1S", "maxAttempts": 2, "behavior": "CREATE_NEW_EXECUTION"}
    renewed = task("x", retry=retry, **properties)
    machine = Machine(flow(group("Sequential", "s", group("WorkingDirectory", "w", renewed, "y")), "after"))
    machine.create(attempt_number=attempt_number)
    machine.start(machine.jobs[0])
    return machine


@pytest.mark.parametrize("may_fail", [False, True])
def test_a_task_of_a_folder_that_is_tried_again_by_a_new_execution(may_fail: bool) -> None:
    """It, all that is around it and the execution end RETRIED; the folder's worker is told that nobody waits for it."""
    machine = renewing(allowFailure=may_fail)
    job = machine.jobs.popleft()
    tell(machine, State.RUNNING, State.FAILED, seq=job.seq)

    assert State.RETRIED == machine.state
    assert [("s", "RETRIED"), ("w", "RETRIED"), ("x", "RETRIED")] == machine.states()
    assert [((job.seq, 1),)] == [kill.runs for kill in machine.broadcasts if isinstance(kill, KillRun)]

    tell(machine, State.RUNNING, task_id="y", seq=job.seq)
    machine.finish(job, State.FAILED)
    machine.pass_time(2)

    assert [("s", "RETRIED"), ("w", "RETRIED"), ("x", "RETRIED")] == machine.states()
    [created] = [message for message in machine.messages if isinstance(message, events.CreateExecution)]
    assert (2, EXECUTION) == (created.attempt_number, created.parent_id)


def test_a_task_of_a_folder_has_failed_after_its_last_execution() -> None:
    """`maxAttempts` counts executions: in the last one the folder goes on as without a retry."""
    machine = renewing(2, allowFailure=True)
    job = machine.jobs.popleft()
    tell(machine, State.RUNNING, State.FAILED, seq=job.seq)
    assert [("s", "RUNNING"), ("w", "RUNNING"), ("x", "WARNING")] == machine.states()

    machine.finish(job, State.WARNING)
    assert State.WARNING == machine.run().state


@pytest.mark.parametrize("outcome", [State.SUCCESS, State.FAILED])
def test_a_replay_from_a_task_in_a_folder_runs_the_folder(outcome: State) -> None:
    """Its files are gone: the job of the folder is what can be run again."""
    machine = tell(begun(), State.RUNNING, outcome)
    machine.finish(machine.jobs[0], outcome)
    machine.step(
        events.ReplayRequested(
            execution_id=EXECUTION, at=machine.now, new_id="new", task_run_id=machine.rows[1].run.id
        )
    )  # fmt: skip
    [created] = [message for message in machine.messages if isinstance(message, events.CreateExecution)]

    replayed = Machine(flow(group("WorkingDirectory", "w", "x")))
    replayed.step(created)
    assert ["w"] == [job.task_id for job in replayed.jobs]
    replayed.start(replayed.jobs[0])
    tell(replayed, State.RUNNING, State.SUCCESS, attempt=replayed.jobs[0].attempt)
    replayed.finish(replayed.jobs[0], State.SUCCESS)

    assert State.SUCCESS == replayed.state
    assert [("w", "SUCCESS"), ("x", "SUCCESS")] == replayed.states()
