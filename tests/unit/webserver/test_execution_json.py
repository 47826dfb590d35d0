"""Executions as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from tiercel.model.execution import Attempt, Execution, OutputRef, TaskRun, TriggerInfo
from tiercel.model.execution_json import execution_json, task_runs_json
from tiercel.model.state import State, StateChange

START = datetime(2026, 1, 1, tzinfo=UTC)


def history(*states: State) -> tuple[StateChange, ...]:
    return tuple(StateChange(state, START + timedelta(seconds=n)) for n, state in enumerate(states))


def execution(*states: State, **fields: object) -> Execution:
    values: dict[str, object] = {"id": "e", "namespace": "a.b", "flow_id": "f", "flow_revision": 2}
    return Execution(state=states[-1], history=history(*states), **{**values, **fields})


def test_a_state_tells_its_times() -> None:
    """An end is shown when nothing follows by itself; the duration of one state runs on."""
    now = START + timedelta(minutes=1)

    created = execution_json(execution(State.CREATED), now=now)["state"]
    running = execution_json(execution(State.CREATED, State.RUNNING), now=now)["state"]
    ended = execution_json(execution(State.CREATED, State.RUNNING, State.SUCCESS), now=now)["state"]

    assert "PT1M" == created["duration"]
    assert "endDate" not in running
    assert ("SUCCESS", START + timedelta(seconds=2), "PT2S") == (
        ended["current"], ended["endDate"], ended["duration"],
    )  # fmt: skip


def test_names_are_those_of_kestra() -> None:
    """Labels are a list, metadata holds the attempt, an original's id is its own."""
    trigger = TriggerInfo(id="t", type="x.Y", variables={"a": 1})

    data = execution_json(execution(State.CREATED, labels=(("k", "v"),), trigger=trigger), now=START)

    assert "taskRunList" not in data
    assert [{"key": "k", "value": "v"}] == data["labels"]
    assert {"id": "t", "type": "x.Y", "variables": {"a": 1}} == data["trigger"]
    assert {"attemptNumber": 1, "originalCreatedDate": START} == data["metadata"]
    assert ("e", 2, "NORMAL") == (data["originalId"], data["flowRevision"], data["kind"])


def test_task_runs_name_their_parents_and_hold_their_outputs() -> None:
    """Outputs are always there, null when there are none; large ones are named by their URI."""
    done = history(State.CREATED, State.SUCCESS)
    outer = TaskRun(id="r0", seq=0, task_id="each", state=State.SUCCESS, history=done)
    attempt = Attempt(state=State.SUCCESS, history=done, worker_id="w")
    inner = TaskRun(
        id="r1", seq=1, task_id="t", state=State.SUCCESS, history=done, parent=0, value="a", attempts=(attempt,)
    )
    large = TaskRun(id="r2", seq=2, task_id="u", state=State.SUCCESS, history=done)
    outputs = {1: OutputRef(size=9, value={"x": 1}), 2: OutputRef(size=70_000, uri="kestra:///o")}

    runs = msgspec.json.decode(task_runs_json(execution(State.CREATED), [outer, inner, large], outputs, now=START))

    assert [None, {"x": 1}, {"uri": "kestra:///o", "size": 70_000}] == [run["outputs"] for run in runs]
    assert ("r0", "a", "w") == (runs[1]["parentTaskRunId"], runs[1]["value"], runs[1]["attempts"][0]["workerId"])
    assert "attempts" not in runs[0]
