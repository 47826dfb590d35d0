"""Flow triggers: who is told of an upstream execution, and which execution is started with what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.upstream import ON_A, TYPE, Listening, condition, depends, upstream
from tiercel.executor.core.facts import Missing, Want
from tiercel.model.execution import Attempt, Execution, ExecutionKind, TaskRun
from tiercel.model.live import RunRecord
from tiercel.model.state import State


def test_an_upstream_execution_starts_one_with_the_triggers_variables() -> None:
    """The new execution says who started it, and takes over the correlation of the one that did."""
    listening = Listening({**ON_A, "labels": {"from": "{{ trigger.flowId }}"}}, labels={"own": "1"})

    (started,) = listening.hears(upstream(labels=(("other", "x"), ("system.correlationId", "c"))))

    assert {"own": "1", "from": "a", "system.correlationId": "c"} == dict(started.labels)
    assert started.trigger is not None
    assert ("t0", TYPE) == (started.trigger.id, started.trigger.type)
    assert ("a-1", "up", "a", 1, "SUCCESS") == tuple(
        started.trigger.variables[key] for key in ("executionId", "namespace", "flowId", "flowRevision", "state")
    )


def test_the_same_change_asks_for_the_same_execution() -> None:
    """An event that comes twice makes one execution, by its id; another change makes another."""
    listening = Listening({**ON_A, "states": ["RUNNING", "SUCCESS"]})

    (first,), (again,) = listening.hears(upstream()), listening.hears(upstream())
    (other,) = listening.hears(upstream(state=State.RUNNING))

    assert first.execution_id == again.execution_id
    assert first.execution_id != other.execution_id


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        (upstream(), ["t0"]),
        (upstream(state=State.FAILED), ["t0"]),
        (upstream(state=State.PAUSED), ["t0"]),
        (upstream(state=State.RUNNING), []),
        (upstream("b"), []),
        (upstream(namespace="elsewhere"), []),
        (upstream(tenant_id="other"), []),
        (upstream(kind=ExecutionKind.LOOP), []),
        (upstream(kind=ExecutionKind.TEST), []),
        (upstream(kind=ExecutionKind.PLAYGROUND), []),
    ],
)
def test_only_those_are_told_whom_it_may_concern(execution: Execution, told: list[str]) -> None:
    """Ends and pauses of ordinary executions are told, to triggers of the same tenant that could be met by them."""
    assert told == Listening(ON_A).told(execution)


def test_a_flow_does_not_start_itself() -> None:
    """A trigger that listens to everything does not hear its own flow."""
    listening = Listening({"when": "true"}, flow_id="a")

    assert [] == listening.told(upstream(namespace="company.team"))
    assert ["t0"] == listening.told(upstream("b", namespace="company.team"))


@pytest.mark.parametrize("off", [{"disabled": True}, {}])
def test_disabled_flows_and_triggers_hear_nothing(off: dict[str, Any]) -> None:
    """Neither a disabled trigger nor one of a disabled flow is told."""
    listening = Listening({**ON_A, **off}, disabled=not off)

    assert [] == listening.told(upstream())


def test_a_condition_that_cannot_be_evaluated_does_not_hold_and_is_logged() -> None:
    """The trigger rests, and its log says why."""
    listening = Listening({"conditions": [condition("Expression", expression="{{ nothing.there }}")]})

    assert [] == listening.hears(upstream())
    assert 1 == len(listening.logs)
    assert "nothing.there" in listening.logs[0]


def test_outputs_of_upstream_tasks_are_asked_for() -> None:
    """An expression that names a task's outputs has them fetched, and nothing else."""
    listening = Listening(
        {**ON_A, "inputs": {"word": "{{ outputs.only.value }}"}}, inputs=[{"id": "word", "type": "STRING"}]
    )

    with pytest.raises(Missing) as missing:
        listening.hears(upstream())

    assert (Want("outer", ("a-1", "only")),) == missing.value.wants


@pytest.mark.parametrize(
    "trigger",
    [
        {"conditions": [condition("HasRetryAttempt", **{"in": ["FAILED"]})]},
        {**depends("a"), "when": "{{ hasRetryAttempt }}"},
    ],
)
def test_attempts_of_upstream_task_runs_are_asked_for(trigger: dict[str, Any]) -> None:
    """A trigger for retried executions holds when a task run had more than one attempt."""
    listening = Listening(trigger)
    failed = Attempt(state=State.FAILED, history=())
    run = TaskRun(id="r", seq=0, task_id="x", state=State.SUCCESS, history=(), attempts=(failed, failed))
    runs = Want("runs_of", ("a-1",))

    with pytest.raises(Missing) as missing:
        listening.hears(upstream())
    listening.known[runs] = [RunRecord(run=run)]

    assert (runs,) == missing.value.wants
    assert 1 == len(listening.hears(upstream()))


def test_inputs_are_rendered_and_typed() -> None:
    """The outputs of the upstream flow become inputs of the declared type."""
    listening = Listening(
        {**depends("a"), "inputs": {"n": "{{ trigger.outputs.n }}", "m": "{{ trigger.outputs.a.n }}"}},
        inputs=[{"id": "n", "type": "INT"}, {"id": "m", "type": "INT"}],
    )

    (started,) = listening.hears(upstream(outputs={"n": 7}))

    assert {"n": 7, "m": 7} == started.inputs


def test_inputs_that_cannot_be_rendered_fail_the_execution_in_the_new_dialect() -> None:
    """There is an execution that shows what went wrong."""
    listening = Listening(
        {**depends("a"), "inputs": {"n": "{{ trigger.outputs.missing }}"}}, inputs=[{"id": "n", "type": "INT"}]
    )

    (started,) = listening.hears(upstream())

    assert started.failed is not None
    assert "t0" in started.failed


def test_inputs_that_cannot_be_rendered_start_nothing_in_the_old_dialect() -> None:
    """The trigger's log says why."""
    listening = Listening(
        {**ON_A, "inputs": {"n": "{{ trigger.outputs.missing }}"}}, inputs=[{"id": "n", "type": "INT"}]
    )

    assert [] == listening.hears(upstream())
    assert "t0" in listening.logs[-1]


@pytest.mark.parametrize("labels", ["{{ 'x' }}", [1], "{{ [1] }}"])
def test_labels_that_are_none_are_not_met(labels: Any) -> None:
    """Neither a dependency nor a condition breaks over them."""
    assert [] == Listening(depends("a", labels=labels)).hears(upstream())
    assert [] == Listening({"conditions": [condition("ExecutionLabels", labels=labels)]}).hears(upstream())


def test_labels_may_be_an_expression() -> None:
    """It gives a map, or a list of keys and values, as JSON."""
    listening = Listening(depends("a", labels="{{ {'team': 'x'} }}"))

    assert [] == listening.hears(upstream())
    assert 1 == len(listening.hears(upstream(labels=(("team", "x"),))))


def test_the_trigger_tells_when_the_upstream_ran_and_which_tasks_where_the_flow_asks() -> None:
    """Dates are always there; the first failed task and the last one are for flows that name them."""
    runs = [
        TaskRun(id="1", seq=0, task_id="x", state=State.FAILED, history=()),
        TaskRun(id="2", seq=1, task_id="y", state=State.SUCCESS, history=()),
    ]
    plain = Listening(depends("a", states=["FAILED"]))
    asking = Listening(
        depends("a", states=["FAILED"]), variables={"v": "{{ trigger.firstFailedTaskId }} {{ trigger.lastTaskId }}"}
    )
    asking.known[Want("runs_of", ("a-1",))] = [RunRecord(run=run) for run in runs]

    (first,) = plain.hears(upstream(state=State.FAILED))
    (second,) = asking.hears(upstream(state=State.FAILED))

    assert first.trigger is not None
    assert second.trigger is not None
    assert {"startDate": "2026-03-04T12:00:00Z", "endDate": "2026-03-04T12:00:00Z"}.items() <= (
        first.trigger.variables or {}
    ).items()
    assert "lastTaskId" not in (first.trigger.variables or {})
    assert ("x", "y") == (
        (second.trigger.variables or {})["firstFailedTaskId"],
        (second.trigger.variables or {})["lastTaskId"],
    )
