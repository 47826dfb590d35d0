"""Executions that are RETRIED: whatever else goes on in them ends with them."""

from __future__ import annotations

from typing import Any

from tests.statemachine.family import Family
from tests.statemachine.flows import CORE, flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.model.live import TimerKind
from tiercel.model.state import State

RENEW = {"type": "constant", "interval": "PT1S", "maxAttempts": 2, "behavior": "CREATE_NEW_EXECUTION"}
PAUSE: dict[str, Any] = {"id": "pause", "type": CORE + "Pause"}


def fail(machine: Machine, task_id: str) -> Machine:
    """Let the job of a task fail."""
    job = next(job for job in machine.jobs if job.task_id == task_id)
    machine.jobs.remove(job)
    machine.start(job)
    machine.finish(job, State.FAILED)
    return machine


def test_flowables_beside_the_failed_task_end_with_a_retried_execution() -> None:
    """They are killed with what is inside them."""
    machine = Machine(
        flow(group("Parallel", "p", "a", group("Sequential", "s", group("Sequential", "t", "b"))), retry=RENEW)
    )

    fail(machine.create(), "a")

    assert State.RETRIED == machine.state
    wanted = {"p": "RETRIED", "a": "RETRIED", "s": "KILLED", "t": "KILLED", "b": "KILLED"}
    assert wanted == dict(machine.states())


def test_a_paused_execution_is_retried_when_a_task_beside_the_pause_fails() -> None:
    """It does not stay PAUSED, and the new try is created."""
    machine = fail(Machine(flow(group("Parallel", "p", PAUSE, "a"), retry=RENEW)).create(), "a")
    assert State.PAUSED in machine.history

    assert State.RETRIED == machine.state
    assert [("p", "RETRIED"), ("pause", "KILLED"), ("a", "RETRIED")] == machine.states()


def test_an_execution_that_waits_for_one_task_is_retried_when_another_fails() -> None:
    """The wait for the first is over."""
    again = task("b", retry={"type": "constant", "interval": "PT1S", "maxAttempts": 2})
    machine = fail(Machine(flow(group("Parallel", "p", again, "a"), retry=RENEW)).create(), "b")
    assert State.RETRYING == machine.state

    fail(machine, "a")

    assert State.RETRIED == machine.state
    assert [("p", "RETRIED"), ("b", "KILLED"), ("a", "RETRIED")] == machine.states()


def test_a_pause_whose_further_tasks_fail_is_retried_with_the_execution() -> None:
    """The pause is over when its `finally` begins."""
    machine = Machine(flow({**PAUSE, "finally": [task("a")]}, retry=RENEW)).create()
    machine.step(events.ResumeRequested(execution_id=EXECUTION, at=machine.now))
    assert [("pause", "RUNNING"), ("a", "SUBMITTED")] == machine.states()

    fail(machine, "a")

    assert State.RETRIED == machine.state
    assert [("pause", "RETRIED"), ("a", "RETRIED")] == machine.states()


def test_a_task_after_the_end_is_no_reason_to_try_the_execution_again() -> None:
    """It has failed, and the execution stays what it was."""
    machine = Machine(flow("x", afterExecution=[task("a")], retry=RENEW)).create()
    machine.run(lambda job: State.FAILED if job.task_id == "a" else State.SUCCESS).pass_time(10)

    assert State.SUCCESS == machine.state
    assert [("x", "SUCCESS"), ("a", "FAILED")] == machine.states()
    assert machine.head is not None
    assert machine.head.done


def test_a_pause_is_retried_with_the_execution_when_its_on_pause_fails() -> None:
    """Nothing wakes it later."""
    pause = {**PAUSE, "onPause": task("a"), "pauseDuration": "PT1H"}

    machine = fail(Machine(flow(pause, retry=RENEW)).create(), "a")

    assert State.RETRIED == machine.state
    assert [("pause", "RETRIED"), ("a", "RETRIED")] == machine.states()
    assert [TimerKind.FLOW_RETRY] == [kind for kind, _ in machine.timers]


def test_a_retried_execution_is_replayed_from_a_flowable() -> None:
    """It runs again with what is inside it."""
    family = Family(flow(group("Sequential", "s", "a"), retry=RENEW)).create().run(lambda job: State.FAILED)
    target = family.root.rows[0].run.id

    family.send(events.ReplayRequested(execution_id=EXECUTION, at=family.now, new_id="again", task_run_id=target))

    assert State.SUCCESS == family.run().members["again"].state
