"""Subflows that are tried again as a new execution: who waits for them waits for the last."""

from __future__ import annotations

from tests.statemachine.family import Family, Member
from tests.statemachine.flows import CORE, flow
from tests.statemachine.machine import EXECUTION
from tiercel.messages import execution_event as events
from tiercel.messages.worker_job import TaskJob
from tiercel.model.live import TimerKind
from tiercel.model.state import State

PARENT = flow({"id": "sub", "type": f"{CORE}Subflow", "namespace": "company.team", "flowId": "child"}, id="parent")
RETRY = {"type": "constant", "interval": "PT10S", "maxAttempts": 3, "behavior": "CREATE_NEW_EXECUTION"}
CHILD = flow("work", id="child", retry=RETRY)


def failed_once() -> Family:
    """Return a family whose child has failed and waits for its next try."""
    family = Family(PARENT, CHILD).create().run(lambda job: State.FAILED)
    assert [State.RETRIED] == [one.state for one in tries(family)]
    assert State.RUNNING == family.root.state
    return family


def tries(family: Family) -> list[Member]:
    """Return the executions of the child, in order."""
    return [one for one in family.members.values() if one.id != EXECUTION]


def try_again(family: Family) -> Family:
    """Let the time of the child's next try come."""
    due = events.TimerDue(execution_id=tries(family)[-1].id, at=family.now, kind=TimerKind.FLOW_RETRY, subject=0)
    return family.send(due)


def test_the_end_of_the_last_try_ends_the_task() -> None:
    """Its outputs name the execution that has ended, not the first one."""
    family = failed_once()

    try_again(family).run(lambda job: State.FAILED)
    try_again(family).run()

    assert [State.RETRIED, State.RETRIED, State.SUCCESS] == [one.state for one in tries(family)]
    assert State.SUCCESS == family.root.state
    assert tries(family)[-1].id == family.outputs("sub")["executionId"]


def test_a_restart_restarts_the_last_try() -> None:
    """What failed before it is not run again."""
    family = failed_once()
    for _ in range(2):
        try_again(family).run(lambda job: State.FAILED)
    assert State.FAILED == family.root.state
    ran: list[str] = []

    def answer(job: TaskJob) -> State:
        ran.append(job.execution_id)
        return State.SUCCESS

    family.send(events.RestartRequested(execution_id=EXECUTION, at=family.now)).run(answer)

    assert State.SUCCESS == family.root.state
    assert [tries(family)[-1].id] == ran


def test_a_kill_reaches_the_wait_for_the_next_try() -> None:
    """No further execution begins, and nobody waits for one."""
    family = failed_once()

    family.send(events.KillRequested(execution_id=EXECUTION, at=family.now))
    try_again(family)

    assert [State.KILLED, State.KILLED] == [one.state for one in family.members.values()]


def test_a_kill_reaches_the_execution_that_tries_again() -> None:
    """The one that was tried again passes it on."""
    family = try_again(failed_once())

    family.send(events.KillRequested(execution_id=EXECUTION, at=family.now))

    assert [State.KILLED, State.RETRIED, State.KILLED] == [one.state for one in family.members.values()]


def test_an_execution_that_is_restarted_meanwhile_is_not_tried_again() -> None:
    """Its next try would run beside it."""
    family = failed_once()
    [child] = tries(family)
    family.send(events.RestartRequested(execution_id=child.id, at=family.now))

    try_again(family)

    assert 2 == len(family.members)
