"""An execution made again from history goes on as the one that was kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import CORE, flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.executor.cache import Entry
from tiercel.executor.core.facts import Failure
from tiercel.executor.core.revival import revive
from tiercel.messages import execution_event as events
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State
from tiercel.statestore.base import Loaded

CONDITION = {"id": "if", "type": CORE + "If", "condition": "{{ true }}", "then": [task("t"), task("u")]}
CASES = {"id": "s", "type": CORE + "Switch", "value": "k", "cases": {"k": [task("t"), task("u")]}}
DAG = {
    "id": "d",
    "type": CORE + "Dag",
    "tasks": [{"task": task("t")}, {"task": task("u"), "dependsOn": ["t"]}, {"task": task("v"), "dependsOn": ["u"]}],
}
UNTIL = group("LoopUntil", "l", "t", "u", condition="{{ outputs.u.value == 'u' }}")
WIDE = [f"{number:03d}" * 8 for number in range(200)]

FLOWS: dict[str, str] = {
    "sequence": flow("t", "u", "v"),
    "nested": flow("a", group("Sequential", "g", "t", group("Parallel", "p", "x", "u", "y")), "z"),
    "if": flow(CONDITION, "z"),
    "switch": flow(CASES, "z"),
    "dag": flow(DAG, "z"),
    "until": flow(UNTIL, "z"),
    "each": flow(group("ForEach", "f", "t", "u", "v", values=["1", "2"], concurrencyLimit=0), "z"),
    "wide": flow(group("ForEach", "f", "u", values=WIDE, concurrencyLimit=10), "z"),
    "parallel": flow(group("EachParallel", "f", "t", "u", value=["1", "2"]), "z"),
    "allowed": flow(group("AllowFailure", "g", "t", "u"), "v", errors=[task("e")], **{"finally": [task("last")]}),
    "errors": flow(group("Sequential", "g", "t", "u", errors=[task("e")]), "z", errors=[task("f")]),
}


def _failed(text: str) -> Machine:
    """Run a flow of which some tasks fail the first time."""
    count = iter(range(10_000))

    def answer(job: TaskJob) -> State:
        bad = job.task_id == "u" and next(count) % 7 < 1
        return State.FAILED if bad or job.task_id == "v" else State.SUCCESS

    return Machine(text).create().run(answer)


def _restarted(machine: Machine) -> tuple[list[tuple[str, str | None]], Machine]:
    ran: list[tuple[str, str | None]] = []

    def answer(job: TaskJob) -> Any:
        ran.append((job.task_id, job.value))
        return State.SUCCESS, {"value": job.task_id}

    machine.step(events.RestartRequested(execution_id=EXECUTION, at=machine.now))
    return ran, machine.run(answer)


@pytest.mark.parametrize("name", FLOWS)
def test_a_revived_execution_is_restarted_as_one_that_was_kept(name: str) -> None:
    """The same tasks run again, with the same values, and the same task runs are there in the end."""
    kept, machine = _failed(FLOWS[name]).reload(), _failed(FLOWS[name])
    assert machine.head is not None
    head, records, outputs = revive(
        machine.head.execution,
        [record.run for record in machine.rows.values()],
        {seq: record.ref for seq, record in machine.outputs.items()},
        machine.plan,
    )
    machine.rows = {record.run.seq: record for record in records}
    assert machine.outputs == {record.seq: record for record in outputs}
    machine.values.clear()
    machine.head = head
    machine.entry = Entry(0, machine.plan, Loaded(head=head, runs=()))

    expected, kept = _restarted(kept)
    ran, machine = _restarted(machine)

    assert expected
    assert expected == ran
    assert (kept.state, kept.states()) == (machine.state, machine.states())
    assert State.SUCCESS is machine.state


def test_a_condition_that_could_not_be_rendered_is_asked_again() -> None:
    """A flowable that failed before it had children is begun anew by a restart."""
    broken = {"id": "if", "type": CORE + "If", "condition": "{{ secret('S') }}", "then": [task("t")]}
    machine = Machine(flow("a", broken))
    secrets = iter([PermissionError("no"), "true"])
    answer = machine._answer

    def ask(missing: Any, facts: Any) -> None:
        for want in missing.wants:
            if want.sort == "secret":
                found = next(secrets)
                facts.known[want] = Failure(found) if isinstance(found, Exception) else found
            else:
                answer(type(missing)(want), facts)

    machine._answer = ask
    machine.create().run()
    assert State.FAILED is machine.state

    ran, machine = _restarted(machine.reload())

    assert [("t", None)] == ran
    assert State.SUCCESS is machine.state
