"""
Who listens: which Flow triggers a change of an execution's state may concern, told without rendering anything.

It runs beside every change of state, so it only looks at what a flow says literally; where an expression decides, the
trigger is told and decides itself (`flow_triggers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tiercel.condition.evaluate import Subject, holds, upstream_of
from tiercel.condition.flow_trigger import listening, results, windows
from tiercel.errors import ExpressionError
from tiercel.messages.execution_event import UpstreamChanged
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model.execution import Execution
from tiercel.model.flow import Flow
from tiercel.model.task import Condition
from tiercel.plugins.core.condition.execution import ExecutionFlow, HasRetryAttempt, MultipleCondition, Not, Or
from tiercel.plugins.core.trigger.flow import FlowTrigger
from tiercel.queue.base import Outgoing

Source = tuple[str | None, str | None]
"""Namespace and id of a flow that is listened to; None for any."""

ANY: Final[Source] = (None, None)


class _Unsaid(Exception):
    """Only an expression can tell."""


def key_of(flow: Flow, trigger: FlowTrigger) -> str:
    """Return the key of the aggregate that decides for a trigger."""
    return f"trigger/{flow.tenant_id}/{flow.namespace}/{flow.id}/{trigger.id}"


def listens(flow: Flow) -> bool:
    """Tell whether a flow has a trigger that other flows' executions may fire."""
    if flow.disabled or flow.deleted or flow.draft:
        return False
    return any(isinstance(trigger, FlowTrigger) and not trigger.disabled for trigger in flow.triggers)


def sources(flow: Flow) -> set[Source]:
    """Return the flows that the triggers of a flow listen to."""
    found: set[Source] = set()
    for trigger in flow.triggers:
        if isinstance(trigger, FlowTrigger) and not trigger.disabled:
            found |= _sources(trigger)
    return found


def _sources(trigger: FlowTrigger) -> set[Source]:
    for condition in trigger.conditions:
        if isinstance(condition, ExecutionFlow):
            return {(condition.namespace, condition.flow_id)}
    found: set[Source] = {(each.namespace, each.flow_id) for each in trigger.depends_on}
    if any(isinstance(condition, MultipleCondition) for condition in trigger.conditions):
        return {ANY}
    if trigger.preconditions is not None:
        if trigger.preconditions.where:
            return {ANY}
        found |= {(each.namespace, each.flow_id) for each in trigger.preconditions.flows}
    return found or {ANY}


class Listeners:
    """The flows that listen, by tenant and by what they listen to."""

    def __init__(self, flows: Iterable[Flow] = ()) -> None:
        self._flows: dict[tuple[str, Source], list[Flow]] = {}
        for flow in flows:
            if listens(flow):
                for source in sources(flow):
                    self._flows.setdefault((flow.tenant_id, source), []).append(flow)

    def of(self, execution: Execution) -> list[Flow]:
        """Return the flows that may listen to an execution, each once."""
        space, name = execution.namespace, execution.flow_id
        found: dict[tuple[str, str], Flow] = {}
        for source in ((space, name), (space, None), (None, name), ANY):
            for flow in self._flows.get((execution.tenant_id, source), ()):
                found[flow.namespace, flow.id] = flow
        return list(found.values())

    def told(self, execution: Execution, places: Sequence[int]) -> list[Outgoing]:
        """Return what triggers are told of an execution whose history grew to these lengths."""
        if not self._flows or not places:
            return []
        flows = self.of(execution)
        return [message for place in places for message in _told(_as_of(execution, place), flows)] if flows else []


def _as_of(execution: Execution, place: int) -> Execution:
    """Return an execution as it was when its history was so long; outputs come with the end."""
    history = execution.history[:place]
    state = history[-1].state
    outputs = execution.outputs if state.is_terminated else None
    return msgspec.structs.replace(execution, state=state, history=history, outputs=outputs)


def _told(execution: Execution, flows: Iterable[Flow]) -> Iterable[Outgoing]:
    for flow in flows:
        for trigger in listening(flow, execution):
            if concerns(flow, trigger, execution):
                key = key_of(flow, trigger)
                message = UpstreamChanged(
                    execution_id=key,
                    at=execution.history[-1].date,
                    namespace=flow.namespace,
                    flow_id=flow.id,
                    trigger_id=trigger.id,
                    upstream=execution,
                )
                yield Outgoing(topic=EXECUTION_EVENT, key=key, message=message)


def concerns(flow: Flow, trigger: FlowTrigger, execution: Execution) -> bool:
    """Tell whether an execution may meet a condition of the trigger, as far as texts without expressions tell."""
    subject = Subject(namespace=flow.namespace, flow_id=flow.id, variables={}, execution=upstream_of(execution))
    for condition in trigger.conditions:
        if not isinstance(condition, MultipleCondition) and not _may_hold(condition, subject):
            return False
    names = list(windows(trigger))
    return not names or any(_may_meet(trigger, name, subject) for name in names)


def _may_hold(condition: Condition, subject: Subject) -> bool:
    if asks_attempts(condition):
        return True
    try:
        return holds(condition, subject, _literal)
    except (_Unsaid, ExpressionError):
        # What cannot be evaluated at all is for the trigger to say, in its log.
        return True


def _may_meet(trigger: FlowTrigger, window: str, subject: Subject) -> bool:
    if any(asks_attempts(condition) for condition in trigger.conditions):
        return True
    try:
        return any(results(trigger, window, subject, _literal).values())
    except _Unsaid:
        return True


def _literal(text: str, variables: Mapping[str, Any]) -> str:
    if "{" in text:
        raise _Unsaid
    return text


def asks_attempts(condition: Condition) -> bool:
    """Tell whether a condition asks about the attempts of task runs."""
    match condition:
        case HasRetryAttempt():
            return True
        case Not() | Or():
            return any(asks_attempts(inner) for inner in condition.conditions)
        case MultipleCondition():
            return any(asks_attempts(inner) for inner in condition.conditions.values())
        case _:
            return False
