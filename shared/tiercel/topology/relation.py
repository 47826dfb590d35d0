"""
Relations between flows, read off their definitions, and the graphs that they make.

Pure. A relation points from the flow that acts to the one that runs because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from tiercel.condition.evaluate import Subject, Upstream, holds
from tiercel.errors import ExpressionError
from tiercel.model.flow import Flow, walk
from tiercel.model.state import State
from tiercel.model.task import Condition
from tiercel.plugins.core.condition import execution as on_execution
from tiercel.plugins.core.flow.subflow import ForEachItem, Subflow
from tiercel.plugins.core.trigger.flow import FlowDependency, FlowTrigger, UpstreamFlow


class Relation(StrEnum):
    """Why one flow runs because of another."""

    FLOW_TASK = "FLOW_TASK"
    FLOW_TRIGGER = "FLOW_TRIGGER"


class Edge(NamedTuple):
    """One relation, between the keys of flows."""

    source: str
    target: str
    relation: Relation


def relation(parent: Flow, child: Flow) -> Relation | None:
    """Return how the child depends on the parent, None when it does not, or when both are one flow."""
    if parent.uid == child.uid or parent.tenant_id != child.tenant_id:
        return None
    if _runs(parent, child):
        return Relation.FLOW_TASK
    return Relation.FLOW_TRIGGER if _listens(child, parent) else None


def edges(flows: Sequence[Flow]) -> list[Edge]:
    """Return all relations among these flows."""
    found = []
    for parent in flows:
        for child in flows:
            kind = relation(parent, child)
            if kind is not None:
                found.append(Edge(parent.uid, child.uid, kind))
    return found


def reached(start: str, all_edges: Iterable[Edge]) -> list[Edge]:
    """Return the relations that lead to a flow or away from it, all the way up and all the way down."""
    known = list(all_edges)
    down, up = _follow(start, known, forwards=True), _follow(start, known, forwards=False)
    return [edge for edge in known if edge in down or edge in up]


def _follow(start: str, all_edges: Sequence[Edge], *, forwards: bool) -> set[Edge]:
    found: set[Edge] = set()
    waiting = [start]
    while waiting:
        at = waiting.pop()
        for edge in all_edges:
            here, there = (edge.source, edge.target) if forwards else (edge.target, edge.source)
            if here == at and edge not in found:
                found.add(edge)
                waiting.append(there)
    return found


def _runs(parent: Flow, child: Flow) -> bool:
    branches = (*parent.tasks, *parent.errors, *parent.finally_, *parent.after_execution)
    return any(
        (task.namespace, task.flow_id) == (child.namespace, child.id)
        for task in walk(branches)
        if isinstance(task, Subflow | ForEachItem)
    )


def _listens(listener: Flow, to: Flow) -> bool:
    """Tell whether an execution of a flow can fire a Flow trigger of another, whatever its state and values."""
    return any(
        _may_fire(trigger, listener, to)
        for trigger in listener.triggers
        if isinstance(trigger, FlowTrigger) and not trigger.disabled
    )


def _may_fire(trigger: FlowTrigger, listener: Flow, to: Flow) -> bool:
    upstream = Upstream(namespace=to.namespace, flow_id=to.id, state=State.SUCCESS)
    subject = Subject(namespace=listener.namespace, flow_id=listener.id, variables={}, execution=upstream)
    if not all(_may_hold(condition, subject) for condition in trigger.conditions):
        return False
    if trigger.preconditions is not None and trigger.preconditions.flows:
        return any(_names(each, to) for each in trigger.preconditions.flows)
    return not trigger.depends_on or any(_names(each, to) for each in trigger.depends_on)


def _may_hold(condition: Condition, subject: Subject) -> bool:
    """Tell whether a condition can hold for an execution of the flow; only those on the flow itself can exclude it."""
    match condition:
        case on_execution.ExecutionFlow() | on_execution.ExecutionNamespace():
            return _certain(condition, subject)
        case on_execution.FlowCondition() | on_execution.FlowNamespaceCondition():
            return _certain(condition, subject)
        case on_execution.MultipleCondition():
            telling = [each for each in condition.conditions.values() if isinstance(each, _TELLING)]
            return not telling or any(_may_hold(each, subject) for each in telling)
        case on_execution.Or():
            return any(_may_hold(each, subject) for each in condition.conditions)
        case on_execution.Not():
            telling = [each for each in condition.conditions if isinstance(each, _TELLING)]
            return not any(_certain(each, subject) for each in telling)
        case _:
            return True


_TELLING = (on_execution.ExecutionFlow, on_execution.ExecutionNamespace)


def _certain(condition: Condition, subject: Subject) -> bool:
    try:
        return holds(condition, subject, _unrendered)
    except ExpressionError:
        return True


def _unrendered(text: str, _: Any) -> str:
    if "{" in text:
        raise ExpressionError(f"'{text}' is only known when it is rendered.")
    return text


def _names(each: FlowDependency | UpstreamFlow, flow: Flow) -> bool:
    return each.namespace in (None, flow.namespace) and each.flow_id in (None, flow.id)
