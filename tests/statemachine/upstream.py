"""Flows with Flow triggers, and what they have heard and collected: the stage of the tests about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tests.statemachine.flows import flow
from tiercel.executor.core import flow_triggers, misses
from tiercel.executor.core.facts import Facts, Want
from tiercel.executor.core.listening import Listeners
from tiercel.executor.core.plan import FlowPlan
from tiercel.executor.settings import ExecutorSettings
from tiercel.executor.surroundings import surroundings_of
from tiercel.flowspec.parse import parse_flow
from tiercel.messages import codec
from tiercel.messages.execution_event import CreateExecution, UpstreamChanged, WindowEnded
from tiercel.model.execution import Execution
from tiercel.model.state import State, StateChange
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
