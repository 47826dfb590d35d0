"""Flow triggers: who is told of an upstream execution, what is met in windows, and which execution is started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.statemachine.flows import flow
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.condition.window import bounds_of
from tiercel.errors import InvalidFlow
from tiercel.executor.core import flow_triggers, misses
from tiercel.executor.core.facts import Facts, Missing, Want
from tiercel.executor.core.listening import Listeners
from tiercel.executor.core.plan import FlowPlan
from tiercel.executor.settings import ExecutorSettings
from tiercel.executor.surroundings import surroundings_of
from tiercel.flowspec.parse import parse_flow
from tiercel.messages import codec
from tiercel.messages.execution_event import CreateExecution, TaskFinished, UpstreamChanged, WindowEnded
from tiercel.model.execution import Attempt, Execution, ExecutionKind, TaskRun
from tiercel.model.live import RunRecord
from tiercel.model.state import State, StateChange
from tiercel.plugins.core.trigger.flow import FlowTrigger
from tiercel.statestore.base import Scope

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
TYPE = "io.kestra.plugin.core.trigger.Flow"
CONDITION = "io.kestra.plugin.core.condition."


def upstream(flow_id: str = "a", state: State = State.SUCCESS, **more: Any) -> Execution:
    """An execution that has come into a state."""
    states = (State.CREATED, State.RUNNING) if state is State.RUNNING else (State.CREATED, State.RUNNING, state)
    values: dict[str, Any] = {"id": f"{flow_id}-1", "namespace": "up", **more}
    return Execution(
        flow_id=flow_id,
        flow_revision=1,
        state=state,
        history=tuple(StateChange(each, NOON) for each in states),
        **values,
    )


class Listening:
    """A flow with Flow triggers, and what they have collected."""

    def __init__(self, *triggers: dict[str, Any], flow_id: str = "listener", **properties: Any) -> None:
        made = [{"id": f"t{place}", "type": TYPE, **trigger} for place, trigger in enumerate(triggers)]
        text = flow("x", triggers=made, **properties).replace("id: f\n", f"id: {flow_id}\n", 1)
        self.plan = FlowPlan(parse_flow(text))
        self.scopes: dict[str, Scope] = {}
        self.logs: list[str] = []
        self.known: dict[Want, Any] = {}

    def told(self, execution: Execution) -> list[str]:
        """Return the triggers that are told of an execution's last state."""
        return [each.message.trigger_id for each in self._told(execution)]

    def _told(self, execution: Execution) -> list[Any]:
        return Listeners([self.plan.flow]).told(execution, [len(execution.history)])

    def hears(self, execution: Execution, after: timedelta = timedelta()) -> list[CreateExecution]:
        """Let the triggers decide about an execution's last state; return the executions that they start."""
        started = []
        for each in self._told(execution):
            event = msgspec.structs.replace(each.message, at=each.message.at + after)
            started += self.decide(event)
        return started

    def decide(self, event: UpstreamChanged | WindowEnded) -> list[CreateExecution]:
        facts = Facts(self.plan, surroundings_of(ExecutorSettings()))
        facts.known.update(self.known)
        scope = self.scopes.get(event.execution_id, Scope(id=event.execution_id))
        if isinstance(event, WindowEnded):
            outcome = flow_triggers.judge(scope, event, facts)
        else:
            outcome = flow_triggers.decide(scope, event, facts)
        # It is kept as it is stored.
        stored = msgspec.msgpack.decode(codec.encode(outcome.scope), type=Scope)
        self.scopes[event.execution_id] = stored
        self.logs += [entry.message for entry in outcome.logs]
        return [each.message for each in outcome.messages]

    def ends(self, now: datetime) -> list[CreateExecution]:
        """Let the triggers with `onMiss` judge the last window that is over."""
        started = []
        for trigger in misses.watched(self.plan.flow):
            started += self.decide(misses.event_of(self.plan.flow, trigger, now))
        return started

    @property
    def empty(self) -> bool:
        """Tell whether no trigger has met anything."""
        return not any(scope.body for scope in self.scopes.values())


def condition(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": CONDITION + name, **properties}


def depends(*flow_ids: str, **more: Any) -> dict[str, Any]:
    """A trigger of the 2.x dialect that waits for flows."""
    return {"dependsOn": [{"namespace": "up", "flowId": flow_id, **more} for flow_id in flow_ids]}


ON_A = {"conditions": [condition("ExecutionFlow", namespace="up", flowId="a")]}


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


def test_all_dependencies_must_be_met_and_then_anew() -> None:
    """One flow alone, however often, starts nothing; both do, once."""
    listening = Listening(depends("a", "b"))

    assert [] == listening.hears(upstream("a"))
    assert [] == listening.hears(upstream("a", id="a-2"))
    (started,) = listening.hears(upstream("b", outputs={"k": "v"}))
    assert [] == listening.hears(upstream("b", id="b-2"))
    assert started.trigger is not None
    assert {"b": {"k": "v"}} == started.trigger.variables["outputs"]


def test_outputs_of_earlier_dependencies_are_kept() -> None:
    """The variables hold the outputs of every flow that met a dependency of the window."""
    listening = Listening(depends("a", "b"))

    listening.hears(upstream("a", outputs={"x": 1}))
    (started,) = listening.hears(upstream("b", outputs={"y": 2}))

    assert started.trigger is not None
    assert {"a": {"x": 1}, "b": {"y": 2}} == started.trigger.variables["outputs"]
    assert listening.empty


@pytest.mark.parametrize(
    ("mode", "heard", "fires"),
    [
        ({"mode": "ANY"}, "b", True),
        ({"mode": "AT_LEAST", "minSatisfied": 2}, "c", False),
        ({"mode": "AT_LEAST", "minSatisfied": 2}, "ac", True),
        ({"mode": "ALL"}, "ac", False),
    ],
)
def test_the_mode_says_how_many_are_enough(mode: dict[str, Any], heard: str, fires: bool) -> None:
    """ANY needs one, AT_LEAST so many as it says, ALL every one."""
    listening = Listening({**depends("a", "b", "c"), **mode})

    started = [one for flow_id in heard for one in listening.hears(upstream(flow_id))]

    assert fires is bool(started)


def test_what_was_met_before_the_window_ended_is_forgotten() -> None:
    """A window of an hour that is over begins anew."""
    listening = Listening({**depends("a", "b"), "window": {"every": "PT1H"}})

    listening.hears(upstream("a"))

    assert [] == listening.hears(upstream("b"), after=timedelta(hours=1))
    assert 1 == len(listening.hears(upstream("a", id="a-2"), after=timedelta(minutes=90)))


def test_a_window_that_fires_once_rests_until_its_end() -> None:
    """Within it nothing more is started; the next one fires again."""
    listening = Listening({**depends("a"), "window": {"every": "PT1H", "fireOnce": True}})

    assert 1 == len(listening.hears(upstream()))
    assert [] == listening.hears(upstream(id="a-2"), after=timedelta(minutes=5))
    assert 1 == len(listening.hears(upstream(id="a-3"), after=timedelta(hours=1)))


def test_preconditions_that_are_not_reset_fire_with_each_that_is_met_again() -> None:
    """After the first success each upstream execution that meets one starts another."""
    before = {"id": "both", "resetOnSuccess": False, "flows": [{"namespace": "up", "flowId": i} for i in "ab"]}
    listening = Listening({"preconditions": before})

    assert [0, 1, 1] == [len(listening.hears(upstream(flow_id))) for flow_id in "aba"]
    assert [] == listening.told(upstream("c"))


def test_a_multiple_condition_collects_in_its_window() -> None:
    """Its conditions may be met by different executions."""
    inner = {name: condition("ExecutionFlow", namespace="up", flowId=name) for name in "ab"}
    listening = Listening({"conditions": [condition("MultipleCondition", id="both", conditions=inner)]})

    assert [] == listening.hears(upstream("a"))
    (started,) = listening.hears(upstream("b"))
    assert started.trigger is not None
    assert "b-1" == started.trigger.variables["executionId"]
    assert listening.empty


DEADLINE = {**depends("a", "b"), "window": {"deadline": "13:00:00"}, "onMiss": {"labels": {"late": "yes"}}}


def test_a_deadline_that_passes_unmet_fails_an_execution() -> None:
    """Once for each day, with the labels of `onMiss`; days before the trigger was first seen do not count."""
    listening = Listening(DEADLINE)
    yesterday, today = NOON - timedelta(hours=3), NOON + timedelta(hours=2)

    assert [] == listening.ends(yesterday)
    listening.hears(upstream("a"))
    (started,) = listening.ends(today)
    assert [] == listening.ends(today + timedelta(minutes=1))
    (later,) = listening.ends(today + timedelta(days=1))

    assert started.failed is not None
    assert "2026-03-04T13:00:00Z" in started.failed
    assert ("late", "yes") in started.labels
    assert started.execution_id != later.execution_id


def test_a_deadline_that_was_met_is_not_missed() -> None:
    """What fired within the window is enough."""
    listening = Listening(DEADLINE)
    listening.ends(NOON - timedelta(hours=3))

    assert [0, 1] == [len(listening.hears(upstream(flow_id))) for flow_id in "ab"]

    assert [] == listening.ends(NOON + timedelta(hours=2))


@pytest.mark.parametrize(
    ("window", "due"),
    [
        ({"deadline": "13:00:00"}, NOON + timedelta(hours=1)),
        ({"deadline": "11:00:00"}, NOON + timedelta(hours=23)),
        ({"from": "09:00:00", "to": "12:30:00"}, NOON + timedelta(minutes=30)),
        ({"every": "PT1H"}, NOON + timedelta(hours=1, milliseconds=-1)),
    ],
)
def test_a_window_is_judged_a_moment_after_its_end(window: dict[str, Any], due: datetime) -> None:
    """The moment is for news that is still under way."""
    (trigger,) = misses.watched(Listening({**depends("a"), "window": window, "onMiss": {}}).plan.flow)

    assert due + misses.GRACE == misses.next_end(trigger, NOON)
    judged = misses.last_window(trigger, misses.next_end(trigger, NOON))
    assert judged is not None
    assert due == judged.end


def test_a_trigger_that_is_gone_forgets_what_it_has_met() -> None:
    """An event that was sent before the flow changed starts nothing and leaves nothing."""
    listening = Listening(depends("a", "b"))
    listening.hears(upstream("a"))
    (sent,) = listening._told(upstream("b"))
    listening.plan = Listening().plan

    assert [] == listening.decide(sent.message)
    assert listening.empty


def test_an_execution_tells_every_state_that_it_comes_into() -> None:
    """A draft notes each change of state, so that one that lasts for a moment is heard too."""
    machine = Machine(flow("a"))
    created = machine.step(
        CreateExecution(execution_id=EXECUTION, at=NOON, namespace="up", flow_id="a", flow_revision=1)
    )
    job = machine.jobs.popleft()
    machine.start(job)
    ended = machine.step(
        TaskFinished(execution_id=EXECUTION, at=NOON, seq=job.seq, attempt=1, worker="w1", state=State.SUCCESS)
    )
    listeners = Listeners([Listening({**ON_A, "states": ["RUNNING", "SUCCESS"]}).plan.flow])

    heard = [*listeners.told(created.execution, created.moves), *listeners.told(ended.execution, ended.moves)]

    assert [State.RUNNING, State.SUCCESS] == [each.message.upstream.state for each in heard]


def test_when_of_a_dependency_looks_at_the_flow_that_it_waits_for() -> None:
    """There `flow` and the outputs of `execution` are of the upstream execution."""
    when = "{{ flow.id == 'a' and flow.namespace == 'up' and execution.outputs.rows > 2 and outputs.rows > 2 }}"
    listening = Listening({"dependsOn": [{"states": ["SUCCESS"], "when": when}]})

    assert [] == listening.hears(upstream("b", outputs={"rows": 3}))
    assert [] == listening.hears(upstream("a", outputs={"rows": 1}))
    assert 1 == len(listening.hears(upstream("a", outputs={"rows": 3})))


def test_a_window_follows_the_clocks_of_its_zone() -> None:
    """A deadline of nine in Paris is eight in winter and seven in summer, in UTC; a zone that is none is refused."""
    window = {"deadline": "09:00:00", "timezone": "Europe/Paris"}

    def end(now: datetime) -> datetime:
        trigger = Listening({**depends("a"), "window": window}).plan.flow.triggers[0]
        assert isinstance(trigger, FlowTrigger)
        return bounds_of(trigger.window, now).end

    assert datetime(2026, 1, 5, 8, tzinfo=UTC) == end(datetime(2026, 1, 5, 3, tzinfo=UTC))
    assert datetime(2026, 7, 6, 7, tzinfo=UTC) == end(datetime(2026, 7, 6, 3, tzinfo=UTC))
    window = {"deadline": "09:00:00+05:00"}
    assert datetime(2026, 1, 5, 4, tzinfo=UTC) == end(datetime(2026, 1, 5, 3, tzinfo=UTC))
    window = {"deadline": "09:00:00", "timezone": "Europe/Paris"}
    with pytest.raises(InvalidFlow, match="timezone 'Nowhere' is not a valid time-zone ID"):
        Listening({**depends("a"), "window": {**window, "timezone": "Nowhere"}})
