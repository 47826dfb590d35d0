"""Fixtures, breakpoints, quotas, ignore lists: what keeps a task or an execution from being run as it is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.model.execution import Breakpoint, TaskFixture
from tiercel.model.state import State

SUBFLOW = {"id": "s", "type": "io.kestra.plugin.core.flow.Subflow", "namespace": "company.team", "flowId": "child"}
EACH = group("ForEach", "each", "x", values=["1", "2"])


def test_a_task_with_a_fixture_is_not_run() -> None:
    """It ends SUCCESS with the outputs of the fixture; the others are run."""
    fixture = TaskFixture(id="a", outputs={"value": "made up"})
    machine = Machine(flow("a", task("b", value="{{ outputs.a.value }}"))).create(fixtures=(fixture,))
    [job] = machine.jobs

    assert "b" == job.task_id
    assert {"a": {"value": "made up"}} == job.context["outputs"]
    assert [("a", "SUCCESS"), ("b", "SUCCESS")] == machine.run().states()


def test_a_fixture_of_one_iteration_leaves_the_others_alone() -> None:
    """Its value names the iteration."""
    machine = Machine(flow(EACH)).create(fixtures=(TaskFixture(id="x", value="1", state=State.WARNING),)).run()

    assert [("each", "WARNING"), ("x[1]", "WARNING"), ("x[2]", "SUCCESS")] == machine.states()


def test_a_fixture_stands_for_a_subflow_and_may_fail() -> None:
    """No child is started; a failure is one, as far as the task allows."""
    machine = Machine(flow({**SUBFLOW, "allowFailure": True}, "b", task("c", runIf="false")))
    machine.create(fixtures=(TaskFixture(id="s", state=State.FAILED), TaskFixture(id="c")))

    assert [("s", "WARNING"), ("b", "SUCCESS"), ("c", "SKIPPED")] == machine.run().states()
    assert not machine.messages


def test_an_execution_stops_before_a_breakpoint_and_goes_on_when_told() -> None:
    """Execution and task run are BREAKPOINT; the breakpoints that follow replace the old ones."""
    machine = Machine(flow("a", "b", "c")).create(breakpoints=(Breakpoint(id="b"), Breakpoint(id="c"))).run()

    assert State.BREAKPOINT == machine.state
    assert [("a", "SUCCESS"), ("b", "BREAKPOINT")] == machine.states()

    following = (Breakpoint(id="c"),)
    machine.step(events.BreakpointLeft(execution_id=EXECUTION, at=machine.now, breakpoints=following))
    machine.reload().run()

    assert [("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "BREAKPOINT")] == machine.states()

    machine.step(events.BreakpointLeft(execution_id=EXECUTION, at=machine.now))

    assert State.SUCCESS == machine.run().state


def test_a_breakpoint_at_a_value_stops_that_iteration() -> None:
    """The others are run; a flowable can have a breakpoint, too."""
    machine = Machine(flow(EACH)).create(breakpoints=(Breakpoint(id="x", value="2"), Breakpoint(id="each")))
    assert [("each", "BREAKPOINT")] == machine.states()

    following = (Breakpoint(id="x", value="2"),)
    machine.step(events.BreakpointLeft(execution_id=EXECUTION, at=machine.now, breakpoints=following))
    machine.run()

    assert [("each", "RUNNING"), ("x[1]", "SUCCESS"), ("x[2]", "BREAKPOINT")] == machine.states()


def test_an_execution_at_a_breakpoint_can_be_killed() -> None:
    """It ends at once: nothing of it runs."""
    machine = Machine(flow(group("Parallel", "p", "a", "b"))).create(breakpoints=(Breakpoint(id="p"),))

    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    assert State.KILLED == machine.state
    assert [("p", "KILLED")] == machine.states()


def test_a_task_that_was_let_through_its_breakpoint_is_tried_again_without_stopping() -> None:
    """A retry is the same run."""
    text = flow(task("a", retry={"type": "constant", "interval": "PT1S", "maxAttempts": 2}))
    machine = Machine(text).create(breakpoints=(Breakpoint(id="a"),))
    machine.step(events.BreakpointLeft(execution_id=EXECUTION, at=machine.now, breakpoints=(Breakpoint(id="a"),)))

    machine.run(lambda job: State.FAILED if job.attempt == 1 else State.SUCCESS).pass_time(2).run()

    assert State.SUCCESS == machine.state


QUOTA = [{"duration": "PT1H", "limit": 5, "behavior": "CANCEL"}]


def answered(machine: Machine, behavior: str | None) -> Machine:
    """Let the quotas answer."""
    [asked] = machine.messages
    assert isinstance(asked, events.QuotaRequested)
    machine.step(
        events.QuotaAnswered(
            execution_id=EXECUTION, at=machine.now, scope=asked.execution_id, behavior=behavior, reason="Too many."
        )
    )
    return machine


@pytest.mark.parametrize(
    ("behavior", "state"), [(None, State.SUCCESS), ("CANCEL", State.CANCELLED), ("FAIL", State.FAILED)]
)
def test_an_execution_asks_its_quotas_before_it_starts(behavior: str | None, state: State) -> None:
    """With room it runs; without it ends as the quota says, with the reason, and no task has run."""
    machine = Machine(flow("a", quotas=QUOTA)).create()
    assert State.CREATED == machine.state
    assert not machine.states()

    answered(machine, behavior).run()

    assert state == machine.state
    assert machine.head is not None
    assert (None if behavior is None else "Too many.") == machine.head.execution.error
    assert bool(behavior) is not bool(machine.states())


def test_an_execution_with_quotas_and_a_date_waits_for_both() -> None:
    """It is counted when it is created and starts at its date."""
    machine = Machine(flow("a", quotas=QUOTA))
    machine.create(schedule_date=machine.now + timedelta(hours=2))

    assert State.CREATED == answered(machine, None).state
    assert State.SUCCESS == machine.pass_time(7201).run().state


def test_an_ignored_execution_is_created_and_stays_until_it_is_killed() -> None:
    """By its id, its flow or its namespace; what happens to it changes nothing, but for a kill."""
    for names in (
        {"ignored_executions": (EXECUTION,)},
        {"ignored_flows": ("main|company.team|f",)},
        {"ignored_namespaces": ("main|company.team",)},
    ):
        machine = Machine(flow("a"), **names).create()
        machine.step(events.ForceRunRequested(execution_id=EXECUTION, at=machine.now))
        assert State.CREATED == machine.state
        assert not machine.jobs

        machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))
        assert State.KILLED == machine.state
    assert State.SUCCESS == Machine(flow("a"), ignored_namespaces=("main|company",)).create().run().state
