"""`onChildFailure` of Parallel and Dag: what becomes of tasks that still run when one of them has failed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import CORE, flow, group, task
from tests.statemachine.machine import Machine
from tiercel.executor.core.plan import FlowPlan
from tiercel.flowspec.parse import parse_flow
from tiercel.messages.execution_event import CreateExecution, KillRequested, TaskStarted
from tiercel.model.live import TimerKind
from tiercel.model.state import State

SUBFLOW = {"id": "sub", "type": f"{CORE}Subflow", "namespace": "company.team", "flowId": "child"}


def fail_first(machine: Machine) -> Machine:
    """Let all jobs that are sent begin, and the first one fail."""
    jobs = list(machine.jobs)
    machine.jobs.clear()
    for job in jobs:
        machine.start(job)
    machine.finish(jobs[0], State.FAILED)
    return machine


@pytest.mark.parametrize(
    ("kind", "policy", "state"),
    [
        ("Parallel", {}, "FAILED"),
        ("Parallel", {"onChildFailure": "FAIL"}, "FAILED"),
        ("Parallel", {"onChildFailure": "CANCELLED"}, "CANCELLED"),
        ("Dag", {}, "FAILED"),
        ("Dag", {"onChildFailure": "CANCEL"}, "CANCELLED"),
    ],
)
def test_a_failure_ends_the_siblings_that_run(kind: str, policy: dict[str, Any], state: str) -> None:
    """They end at once, their workers are told, and each says why; the flowable has failed either way."""
    inner = [task("a"), task("b")] if kind == "Parallel" else [{"task": task("a")}, {"task": task("b")}]
    machine = Machine(flow({"id": "p", "type": CORE + kind, "tasks": inner, **policy})).create()

    fail_first(machine)

    assert [("p", "FAILED"), ("a", "FAILED"), ("b", state)] == machine.states()
    assert State.FAILED == machine.state
    assert "Task terminated because sibling task 'a' failed." in machine.logs
    [kill] = machine.broadcasts
    assert ((2, 1),) == kill.runs


def test_siblings_go_on_when_the_flowable_says_so() -> None:
    """With CONTINUE those that run end by themselves; none is told to stop."""
    machine = Machine(flow(group("Parallel", "p", "a", "b", onChildFailure="CONTINUE"))).create()
    jobs = list(machine.jobs)

    machine.run(lambda job: State.FAILED if job.task_id == "a" else State.SUCCESS)

    assert ["a", "b"] == [job.task_id for job in jobs]
    assert [("p", "FAILED"), ("a", "FAILED"), ("b", "SUCCESS")] == machine.states()
    assert not machine.broadcasts


def test_siblings_go_on_in_flows_of_the_old_dialect() -> None:
    """A flow that uses what 2.0 removed behaves as before it."""
    loop = {"id": "each", "type": f"{CORE}ForEach", "values": ["v"], "tasks": [task("x")]}
    machine = fail_first(Machine(flow(group("Parallel", "p", "a", "b"), loop)).create())

    assert [("p", "RUNNING"), ("a", "FAILED"), ("b", "RUNNING")] == machine.states()


def test_a_task_that_may_fail_or_is_tried_again_ends_nobody() -> None:
    """Only a failure that counts does."""
    retried = task("a", retry={"type": "constant", "interval": "PT1S", "maxAttempts": 2})
    for first in (task("a", allowFailure=True), retried):
        machine = fail_first(Machine(flow(group("Parallel", "p", first, "b"))).create())

        assert ("b", "RUNNING") in machine.states()


def test_everything_below_ends_however_deep() -> None:
    """Sequences, retries, pauses, children, jobs that nobody has: none is left, and no `errors` of them run."""
    machine = Machine(
        flow(
            group(
                "Parallel",
                "p",
                "a",
                group("Sequential", "s", group("Sequential", "t", "b"), errors=[task("never")]),
                task("r", retry={"type": "constant", "interval": "PT1H", "maxAttempts": 5}),
                {"id": "pause", "type": f"{CORE}Pause"},
                SUBFLOW,
                "unclaimed",
                errors=[task("e")],
                **{"finally": [task("z")]},
            )
        )
    )
    machine.flows["company.team", "child"] = FlowPlan(parse_flow(flow("c").replace("id: f\n", "id: child\n", 1)))
    machine.create()
    jobs = {job.task_id: job for job in machine.jobs}
    machine.jobs.clear()
    machine.jobs.append(jobs["unclaimed"])
    for name in ("a", "b", "r"):
        machine.start(jobs[name])
    machine.finish(jobs["r"], State.FAILED)

    machine.finish(jobs["a"], State.FAILED)

    left = [job.task_id for job in machine.jobs]
    assert ["e"] == left
    started = next(sent for sent in machine.messages if isinstance(sent, CreateExecution))
    assert KillRequested(execution_id=started.execution_id, at=machine.now) in machine.messages
    assert (int(TimerKind.RETRY), 4) not in machine.timers
    assert State.RUNNING == machine.reload().state
    machine.run()
    assert State.FAILED == machine.state
    ended = dict(machine.states())
    assert {"FAILED"} == {ended[name] for name in ("p", "a", "s", "t", "b", "r", "pause", "sub", "unclaimed")}
    assert ("SUCCESS", "SUCCESS") == (ended["e"], ended["z"])
    assert "never" not in ended
    assert machine.head is not None
    assert (0, 0) == (machine.head.waiting, machine.head.paused)


def test_what_an_interrupted_worker_reports_changes_nothing() -> None:
    """A late success is refused; a worker that begins only then is told to stop."""
    machine = Machine(flow(group("Parallel", "p", "a", "b", "c"))).create()
    a, b, c = list(machine.jobs)
    machine.start(a)
    machine.start(b)
    machine.finish(a, State.FAILED)
    before = machine.states()

    machine.finish(b)
    machine.step(TaskStarted(execution_id=a.execution_id, at=machine.now, seq=c.seq, attempt=c.attempt, worker="w2"))

    assert before == machine.states()
    assert (c.seq, "w2") == (machine.broadcasts[-1].seq, machine.broadcasts[-1].worker)


def test_iterations_below_are_killed() -> None:
    """A loop's iterations are executions of their own: each that runs is killed."""
    loop = {"id": "each", "type": f"{CORE}Loop", "values": ["x", "y", "z"], "concurrencyLimit": 2, "tasks": [task("i")]}
    machine = fail_first(Machine(flow(group("Parallel", "p", "a", loop))).create())

    killed = [sent.execution_id for sent in machine.messages if isinstance(sent, KillRequested)]
    assert [sent.execution_id for sent in machine.messages if isinstance(sent, CreateExecution)] == killed
    assert [("p", "FAILED"), ("a", "FAILED"), ("each", "FAILED")] == machine.states()
