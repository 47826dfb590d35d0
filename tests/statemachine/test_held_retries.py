"""A flowable with a `retry`, and `errors` or `finally`: these run before its failed task is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tests.statemachine.test_retried_flowables import attempts, failing
from tiercel.messages.execution_event import KillRequested, RestartRequested
from tiercel.model.state import State

RETRY = {"type": "constant", "interval": "PT10S", "maxAttempts": 3, "behavior": "RETRY_FAILED_TASK"}


def inner(kind: str = "Sequential", **more: Any) -> dict[str, Any]:
    return group(kind, "g", "a", "b", "c", **({"retry": RETRY, "errors": [task("e")]} | more))


def ends(machine: Machine, *names: str, failed: str = "") -> None:
    """Let tasks end one after the other, those that are named FAILED."""
    for name in names:
        [job] = [each for each in machine.jobs if each.task_id == name]
        machine.jobs.remove(job)
        machine.start(job)
        machine.finish(job, State.FAILED if name in failed else State.SUCCESS)


def test_errors_run_first() -> None:
    """Only then does the time until the next try begin; what ran meanwhile is gone with it."""
    machine = Machine(flow(inner(), "d")).create()
    ends(machine, "a", "b", failed="b")

    assert State.RUNNING == machine.state
    assert [("g", "RUNNING"), ("a", "SUCCESS"), ("b", "FAILED"), ("e", "SUBMITTED")] == machine.states()
    assert not machine.timers

    ends(machine.reload(), "e")

    assert State.RETRYING == machine.state
    assert [("g", "RUNNING"), ("a", "SUCCESS"), ("b", "RETRYING"), ("e", "SUCCESS")] == machine.states()

    machine.reload().pass_time(10).run()

    assert State.SUCCESS == machine.state
    assert [(name, "SUCCESS") for name in "gabcd"] == machine.states()
    assert [State.FAILED, State.SUCCESS] == attempts(machine, "b")


@pytest.mark.parametrize("kind", ["Sequential", "AllowFailure"])
def test_errors_stay_after_the_last_try(kind: str) -> None:
    """They run each time, and those of the last time are there in the end."""
    answer = failing("b")
    machine = Machine(flow(inner(kind, **{"finally": [task("f")]}))).create().run(answer)
    for _ in range(2):
        machine.pass_time(10).run(answer)

    assert (State.WARNING if kind == "AllowFailure" else State.FAILED) == machine.state
    assert [State.FAILED] * 3 == attempts(machine, "b")
    assert ["g", "a", "b", "e", "f"] == [name for name, _ in machine.states()]
    assert not machine.timers


def test_errors_may_fail() -> None:
    """They are tried again themselves, at once, and the task all the same."""
    machine = Machine(flow(inner())).create().run(failing("b e"))

    assert [("g", "RUNNING"), ("a", "SUCCESS"), ("b", "FAILED"), ("e", "RETRYING")] == machine.states()

    machine.pass_time(10).run(failing("e")).pass_time(10).run(failing("e"))

    assert [("g", "RUNNING"), ("a", "SUCCESS"), ("b", "RETRYING"), ("e", "FAILED")] == machine.states()

    machine.pass_time(10).run()

    assert State.SUCCESS == machine.state


def test_a_retry_of_its_own_comes_first() -> None:
    """A task's own retry, and the flow's, let nothing else run before they are through."""
    own = {**RETRY, "maxAttempts": 2}
    for document in (
        flow(group("Sequential", "g", task("b", retry=own), errors=[task("e")])),
        flow(group("Sequential", "g", "b", errors=[task("e")]), retry=own),
    ):
        machine = Machine(document).create()
        ends(machine, "b", failed="b")

        assert [("g", "RUNNING"), ("b", "RETRYING")] == machine.states()

        machine.pass_time(10).run(failing("b"))

        assert [("g", "FAILED"), ("b", "FAILED"), ("e", "SUCCESS")] == machine.states()


def test_a_retry_further_out_counts_too() -> None:
    """The lists of the flowable that is nearest to the task run first."""
    outer = group("Sequential", "o", group("Sequential", "g", "b", errors=[task("e")]), retry=RETRY)
    machine = Machine(flow(outer)).create()
    ends(machine, "b", "e", failed="b")

    assert State.RETRYING == machine.state

    machine.pass_time(10).run()

    assert State.SUCCESS == machine.state


def test_a_kill_ends_the_wait() -> None:
    """And a restart runs the task that failed."""
    machine = Machine(flow(inner())).create()
    ends(machine, "a", "b", failed="b")
    machine.step(KillRequested(execution_id=EXECUTION, at=machine.now))
    machine.run()

    assert State.KILLED == machine.state
    assert not machine.timers

    machine.reload().step(RestartRequested(execution_id=EXECUTION, at=machine.now))
    machine.run(failing("b"))

    assert State.RETRYING == machine.state
    assert [("g", "RUNNING"), ("a", "SUCCESS"), ("b", "RETRYING"), ("e", "SUCCESS")] == machine.states()


def test_a_warning_is_the_tasks_own_wish() -> None:
    """`warningOnRetry` of a flowable is not for the tasks inside it."""
    machine = Machine(flow(inner(retry={**RETRY, "warningOnRetry": True}))).create().run(failing("b", 1))
    machine.pass_time(10).run()

    assert State.SUCCESS == machine.state
