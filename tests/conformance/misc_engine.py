"""Sections of `misc.yaml` about the executor's core, which is stepped alone: no service, no time, no worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conformance.corpus import Case
from tests.conformance.misc_units import claim
from tests.conformance.result import LeftOut, only
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.executor.core.plan import FlowPlan
from tiercel.executor.settings import ExecutorSettings
from tiercel.executor.surroundings import surroundings_of
from tiercel.flowspec.parse import parse_flow
from tiercel.messages import execution_event as events
from tiercel.model.execution import Execution
from tiercel.model.state import State

_FLOW = "id: f\nnamespace: io.kestra\ntasks:\n- {id: one, type: io.kestra.plugin.core.debug.Return, format: a}\n"
_CHILD = "id: child\nnamespace: io.kestra\ntasks:\n- {id: one, type: io.kestra.plugin.core.debug.Return, format: a}\n"
_WORKER = "w1"


async def join(case: Case, base: Path) -> None:
    """A report of a worker counts when it is of the attempt that is under way, and changes nothing otherwise."""
    machine = Machine(_FLOW).create()
    _play(machine, case.body["current_history"])
    before = machine.rows[0].run
    incoming = [State(name) for name in case.body["incoming_history"]]
    if incoming[-1] is State.CREATED:
        # What a worker says of a task run that it has not begun: it hands it back.
        machine.step(
            events.JobReturned(execution_id=EXECUTION, at=machine.now, seq=0, attempt=before.attempt, worker=_WORKER)
        )
        claim(machine.rows[0].run != before, case.body["expect"], "the return is taken in")
        return
    _report(machine, incoming[-1], _attempts(incoming))
    claim(machine.rows[0].run != before, case.body["expect"], "the report is taken in")


async def resent(case: Case, base: Path) -> None:
    """A job whose worker is lost ends its attempt; the next one is sent to another."""
    given, expected = case.body["given"], case.body["expect"]
    only(expected, ("attempts", "last_attempt_state", "last_attempt_first_history"), "the claim on a task run")
    machine = Machine(_FLOW).create()
    job = machine.jobs.popleft()
    if given["attempts"] is not None:
        machine.start(job)
    if given["attempts"] and State(given["attempts"][-1]).is_terminated:
        machine.finish(job)
    lost = events.WorkerLost(execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, worker=_WORKER)
    machine.step(lost)
    attempts = machine.rows[0].run.attempts
    claim(len(attempts), expected["attempts"], "the number of attempts")
    claim(str(attempts[-1].state), expected["last_attempt_state"], "the state of the last attempt")


def _attempts(history: Sequence[State]) -> int:
    return history.count(State.CREATED)


def _play(machine: Machine, names: Sequence[str]) -> None:
    """Let happen what a task run's history tells."""
    history = [State(name) for name in names]
    for place, state in enumerate(history[1:], start=1):
        if state is not State.CREATED:
            _report(machine, state, _attempts(history[:place]))
        elif history[place - 1] is State.SUCCESS:
            raise LeftOut(
                "what has succeeded is not run again in the same execution; reports of older attempts are not taken in"
            )
        else:
            machine.step(events.RestartRequested(execution_id=EXECUTION, at=machine.now))
    machine.jobs.clear()


def _report(machine: Machine, state: State, attempt: int) -> None:
    place: dict[str, Any] = {
        "execution_id": EXECUTION,
        "at": machine.now,
        "seq": 0,
        "attempt": attempt,
        "worker": _WORKER,
    }
    if state is State.RUNNING:
        machine.step(events.TaskStarted(**place))
    else:
        machine.step(events.TaskFinished(**place, state=state))


async def execution(case: Case, base: Path) -> None:
    """Labels of a new execution, and the first one of a chain of replays."""
    if "chain" in case.body:
        _chain(len(case.body["chain"]))
        return
    machine = Machine(_FLOW).create(labels=tuple(case.body["given"]["labels"].items()))
    assert machine.head is not None
    wanted = case.body["expect"]["labels"]
    found = {name: value for name, value in machine.head.execution.labels if name in wanted}
    claim(found, wanted, "the labels")


def _chain(length: int) -> None:
    machine = Machine(_FLOW).create().run()
    assert machine.head is not None
    given: dict[str, Any] = {}
    for number in range(1, length):
        new_id = f"execution-{number + 1}"
        machine.step(events.ReplayRequested(execution_id=EXECUTION, at=machine.now, new_id=new_id))
        follow = next(each for each in machine.messages if isinstance(each, events.CreateExecution))
        claim(follow.original_id, EXECUTION, f"the original of execution {number + 1}")
        # The next link of the chain, under the id that the machine steps.
        given = {"original_id": follow.original_id, "parent_id": follow.parent_id}
        machine = Machine(_FLOW).create(**given).run()
    assert machine.head is not None
    claim(machine.head.execution.original_id, EXECUTION, "the original of the last")


async def subflow_result(case: Case, base: Path) -> None:
    """What a Subflow's task run tells of the execution that it has started."""
    given, expected = case.body["given"], case.body["expect"]
    if case.body.get("config", {}).get("plugin subflow outputs.enabled") is False:
        raise LeftOut("'outputs' of a Subflow cannot be switched off; in 2.0 it is gone")
    outputs = f", outputs: {given['outputs']}" if given.get("outputs") else ""
    machine = Machine(
        "id: f\nnamespace: io.kestra\ntasks:\n"
        "- {id: one, type: io.kestra.plugin.core.flow.Subflow, namespace: io.kestra, flowId: child" + outputs + "}\n"
    )
    machine.flows["io.kestra", "child"] = FlowPlan(parse_flow(_CHILD))
    machine.create()
    if expected is None:
        claim(machine.rows[0].run.state.is_terminated, False, "the task run has ended")
        return
    child = given["subflow_execution"]
    made = {each["id"]: each["value"] for each in given.get("flow_outputs", [])} or None
    started = next(each for each in machine.messages if isinstance(each, events.CreateExecution))
    machine.step(
        events.ChildEnded(
            execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, child_id=started.execution_id,
            state=State(child["state"]), outputs=made,
        )
    )  # fmt: skip
    wanted = expected["outputs"] | {"executionId": started.execution_id}
    claim(machine.outputs[0].ref.value, wanted, "the outputs")
    history = [str(change.state) for change in machine.rows[0].run.attempts[-1].history]
    claim(history, expected["attempt_history"], "the attempt's history")


async def ignored(case: Case, base: Path) -> None:
    """What an operator has the executors leave alone."""
    lists: dict[str, Any] = {f"ignored_{name}": tuple(given) for name, given in case.body["skip"].items()}
    settings = ExecutorSettings(**lists)
    around = surroundings_of(settings)
    for check in case.body["checks"]:
        given = check["given"]
        found = Execution(
            id=given.get("execution") or given.get("task_run_of_execution") or "some",
            tenant_id=given.get("tenant") or "main",
            namespace=given.get("namespace", "some"),
            flow_id=given.get("flow", "some"),
            flow_revision=1,
            state=State.CREATED,
            history=(),
        )
        claim(around.ignored.covers(found), check["skipped"], f"{given} is ignored")
