"""Approvals: tasks before the pause, the decision, tasks after it, and what becomes of the execution."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.model.state import State

APPROVAL = {"id": "p", "type": "io.kestra.plugin.core.flow.Approval", "onWait": [task("w")]}
AFTER = {"onApprove": [task("yes")], "onDeny": [task("no")], "finally": [task("z")]}


def decided(machine: Machine, decision: str, **more: Any) -> Machine:
    machine.step(events.ReviewRequested(execution_id=EXECUTION, at=machine.now, decision=decision, **more))
    return machine.run()


def outputs(machine: Machine) -> dict[str, Any]:
    return machine.outputs[0].ref.value or {}


def test_an_approval_runs_its_tasks_then_waits_for_a_decision() -> None:
    """`onWait` runs first; nothing else goes on, and a resume decides nothing."""
    machine = Machine(flow({**APPROVAL, **AFTER}, "after")).create()
    assert State.RUNNING == machine.state

    machine.run()
    machine.step(events.ResumeRequested(execution_id=EXECUTION, at=machine.now))

    assert [("p", "PAUSED"), ("w", "SUCCESS")] == machine.states()


def test_an_approved_execution_goes_on() -> None:
    """The tasks of the approval run, then what follows; who said what is in the outputs."""
    machine = Machine(flow({**APPROVAL, **AFTER}, "after")).create().run().reload()

    decided(machine, "APPROVED", comment="good", by="ann", inputs={"n": 1})

    assert [("p", "SUCCESS"), ("w", "SUCCESS"), ("yes", "SUCCESS"), ("z", "SUCCESS"), ("after", "SUCCESS")] == (
        machine.states()
    )
    wanted = {"decision": "APPROVED", "auto": False, "comment": "good", "by": "ann", "inputs": {"n": 1}}
    assert wanted.items() <= outputs(machine).items()
    assert State.SUCCESS == machine.state


def test_a_denied_execution_is_cancelled_unless_the_task_says_otherwise() -> None:
    """`onDeny` runs before the end."""
    machine = decided(Machine(flow({**APPROVAL, **AFTER}, "after")).create().run(), "DENIED")

    assert [("p", "CANCELLED"), ("w", "SUCCESS"), ("no", "SUCCESS"), ("z", "SUCCESS")] == machine.states()
    assert State.CANCELLED == machine.state


@pytest.mark.parametrize(
    ("behavior", "run", "state", "goes_on"),
    [
        ("CONTINUE", "SUCCESS", State.SUCCESS, True),
        ("WARN", "WARNING", State.WARNING, True),
        ("FAIL", "FAILED", State.FAILED, False),
        ("SUCCEED", "SUCCESS", State.SUCCESS, False),
        ("CANCEL", "CANCELLED", State.CANCELLED, False),
        ("{{ 'KILL' }}", "KILLED", State.KILLED, False),
    ],
)
def test_a_behavior_decides_what_follows(behavior: str, run: str, state: State, goes_on: bool) -> None:
    """The task run and the execution end as the behavior says."""
    machine = Machine(flow({**APPROVAL, "approveBehavior": behavior}, "after")).create().run()

    decided(machine, "APPROVED")

    assert ("p", run) == machine.states()[0]
    assert state is machine.state
    assert goes_on == (("after", "SUCCESS") in machine.states())


def test_a_failure_of_the_tasks_is_not_hidden_by_the_behavior() -> None:
    """A task of `onApprove` that fails fails the approval, whatever was to follow."""
    machine = Machine(flow({**APPROVAL, **AFTER, "approveBehavior": "SUCCEED"})).create().run()

    machine.step(events.ReviewRequested(execution_id=EXECUTION, at=machine.now, decision="APPROVED"))
    machine.run(lambda job: State.FAILED if job.task_id == "yes" else State.SUCCESS)

    assert State.FAILED == machine.state


def test_nobody_is_asked_when_it_is_approved_by_itself() -> None:
    """`autoApprove` skips the pause and `onWait`."""
    machine = Machine(flow({**APPROVAL, **AFTER, "autoApprove": "{{ 1 == 1 }}"})).create().run()

    assert [("p", "SUCCESS"), ("yes", "SUCCESS"), ("z", "SUCCESS")] == machine.states()
    assert State.PAUSED not in machine.history
    assert ("APPROVED", True) == (outputs(machine)["decision"], outputs(machine)["auto"])


def test_an_approval_expires() -> None:
    """Without a decision in time neither list runs, and the execution is cancelled."""
    machine = Machine(flow({**APPROVAL, **AFTER, "timeout": "PT1M"}, "after")).create().run()

    machine.pass_time(59)
    assert State.PAUSED == machine.state
    machine.pass_time(2).run()

    assert [("p", "CANCELLED"), ("w", "SUCCESS"), ("z", "SUCCESS")] == machine.states()
    assert ("EXPIRED", "2026-01-01T00:01:00Z") == (outputs(machine)["decision"], outputs(machine)["due"])
    assert State.CANCELLED == machine.state


def test_approvals_side_by_side_are_decided_one_by_one() -> None:
    """A decision is for the task run that it names; the execution rests until all are decided."""
    first, second = ({**APPROVAL, "id": name, "onWait": []} for name in ("a", "b"))
    machine = Machine(flow(group("Parallel", "g", first, second))).create()
    other = next(record.run.id for record in machine.rows.values() if record.run.task_id == "b")

    decided(machine, "APPROVED", task_run_id=other)
    assert [("g", "RUNNING"), ("a", "PAUSED"), ("b", "SUCCESS")] == machine.states()
    assert State.PAUSED == machine.state
    decided(machine, "APPROVED")

    assert State.SUCCESS == machine.state


def test_a_failure_before_the_pause_fails_the_approval() -> None:
    """Nobody is asked; errors and finally run."""
    machine = Machine(flow({**APPROVAL, **AFTER, "errors": [task("e")]})).create()

    machine.run(lambda job: State.FAILED if job.task_id == "w" else State.SUCCESS)

    assert [("p", "FAILED"), ("w", "FAILED"), ("e", "SUCCESS"), ("z", "SUCCESS")] == machine.states()


def test_a_waiting_approval_is_killed() -> None:
    """With one attempt, and its execution."""
    machine = Machine(flow(APPROVAL)).create().run()

    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    assert ("p", "KILLED") == machine.states()[0]
    assert State.KILLED == machine.state
