"""`retry` with `RETRY_FLOWABLE`: a flowable is tried again with all that is inside it."""

from __future__ import annotations

from typing import Any

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Answer, Machine
from tiercel.messages.execution_event import KillRequested, RestartRequested
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State

RETRY = {"type": "constant", "interval": "PT10S", "maxAttempts": 3, "behavior": "RETRY_FLOWABLE"}


def failing(task_id: str, times: int = 99) -> Answer:
    """A worker for which a task (or several, with spaces between) fails so many times."""
    left = [times]

    def answer(job: TaskJob) -> State:
        if job.task_id not in task_id.split() or not left[0]:
            return State.SUCCESS
        left[0] -= 1
        return State.FAILED

    return answer


def attempts(machine: Machine, task_id: str) -> list[State]:
    [record] = [row for row in machine.rows.values() if row.run.task_id == task_id]
    return [attempt.state for attempt in record.run.attempts]


def test_all_that_is_inside_runs_again() -> None:
    """Task runs of the round before are gone; the flowable counts the attempts; what follows comes last."""
    answer = failing("b", 1)
    machine = Machine(flow(group("Sequential", "g", "a", "b", retry=RETRY), "c")).create().run(answer)

    assert State.RETRYING == machine.state
    assert [("g", "RETRYING"), ("a", "SUCCESS"), ("b", "FAILED")] == machine.states()

    machine.reload().pass_time(10).run(answer)

    assert State.SUCCESS == machine.state
    assert [("g", "SUCCESS"), ("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "SUCCESS")] == machine.states()
    assert [State.FAILED, State.SUCCESS] == attempts(machine, "g")
    assert [State.SUCCESS] == attempts(machine, "b")


def test_it_fails_after_the_last_attempt() -> None:
    """Nothing inside it is tried again alone, and its errors run each time."""
    answer = failing("a")
    inner = group("Sequential", "g", "a", retry=RETRY, errors=[task("e")])
    machine = Machine(flow(inner, retry={**RETRY, "behavior": "RETRY_FAILED_TASK"})).create().run(answer)
    for _ in range(2):
        machine.pass_time(10).run(answer)

    assert State.FAILED == machine.state
    assert [State.FAILED] * 3 == attempts(machine, "g")
    assert [State.FAILED] == attempts(machine, "a")
    assert [("g", "FAILED"), ("a", "FAILED"), ("e", "SUCCESS")] == machine.states()
    assert not machine.timers


def test_a_task_inside_keeps_a_retry_of_its_own() -> None:
    """It has all of its attempts in each round."""
    own = {"type": "constant", "interval": "PT1S", "maxAttempts": 2}
    inner = group("Sequential", "g", task("a", retry=own), retry={**RETRY, "maxAttempts": 2})
    machine = Machine(flow(inner)).create().run(failing("a"))
    for seconds in (1, 10, 1):
        machine.pass_time(seconds).run(failing("a"))

    assert State.FAILED == machine.state
    assert [State.FAILED] * 2 == attempts(machine, "g")
    assert [State.FAILED] * 2 == attempts(machine, "a")


def test_a_failure_is_allowed_after_the_last_attempt_only() -> None:
    """AllowFailure, and `allowFailure`, do not end the tries."""
    allowed: list[dict[str, Any]] = [
        group("AllowFailure", "g", "a", retry=RETRY),
        group("Sequential", "g", "a", retry=RETRY, allowFailure=True),
    ]
    for inner in allowed:
        machine = Machine(flow(inner, "c")).create().run(failing("a"))
        for _ in range(2):
            assert State.RETRYING == machine.state
            machine.pass_time(10).run(failing("a"))

        assert State.WARNING == machine.state
        assert [("g", "WARNING"), ("a", "FAILED"), ("c", "SUCCESS")] == machine.states()


def test_a_success_may_be_a_warning_when_it_was_tried_again() -> None:
    """`warningOnRetry` counts for flowables too."""
    answer = failing("a", 1)
    inner = group("Parallel", "g", "a", "b", retry={**RETRY, "warningOnRetry": True})
    machine = Machine(flow(inner)).create().run(answer).pass_time(10).run(answer)

    assert State.WARNING == machine.state


def test_a_kill_ends_the_wait_for_the_next_try() -> None:
    """No timer is left, and nothing begins."""
    machine = Machine(flow(group("Sequential", "g", "a", retry=RETRY), "b")).create().run(failing("a"))

    machine.step(KillRequested(execution_id=EXECUTION, at=machine.now))

    assert State.KILLED == machine.state
    assert [("g", "KILLED"), ("a", "FAILED")] == machine.states()
    assert not machine.timers


def test_values_of_a_loop_run_again_from_the_first() -> None:
    """A ForEach begins anew, as it did the first time."""
    answer = failing("a", 1)
    machine = Machine(flow(group("ForEach", "g", "a", values=["x", "y"], retry=RETRY))).create().run(answer)
    ran: list[str | None] = []

    def noting(job: TaskJob) -> State:
        ran.append(job.value)
        return State.SUCCESS

    machine.pass_time(10).run(noting)

    assert ["x", "y"] == ran
    assert State.SUCCESS == machine.state


def test_a_restart_opens_what_has_failed_in_the_last_round() -> None:
    """The task that failed runs again in place."""
    machine = Machine(flow(group("Sequential", "g", "a", "b", retry={**RETRY, "maxAttempts": 1}))).create()
    machine.run(failing("b"))

    machine.reload().step(RestartRequested(execution_id=EXECUTION, at=machine.now))
    machine.run()

    assert State.SUCCESS == machine.state
    assert [("g", "SUCCESS"), ("a", "SUCCESS"), ("b", "SUCCESS")] == machine.states()
