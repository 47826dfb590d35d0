"""
The variables that expressions see, put together from plain facts.

The names are Kestra's; what is not known is left out, since a missing name fails with a hint while an empty one
would render to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tiercel.expression.nesting import nested

# Every path that may exist, for editors; what lies below envs, inputs, outputs and their like depends on the flow.
CONTEXT_PATHS: tuple[str, ...] = (
    "envs", "error", "error.message", "error.stackTrace", "error.taskId", "execution", "execution.endDate",
    "execution.id", "execution.originalId", "execution.outputs", "execution.startDate", "execution.state", "files",
    "flow", "flow.id", "flow.namespace", "flow.revision", "flow.tenantId", "globals", "inputs", "item", "item.index",
    "item.key", "item.parent", "item.parent.index", "item.parent.key", "item.parent.value", "item.parents",
    "item.value", "kestra", "kestra.environment", "kestra.url", "labels", "outputs", "parent", "parent.task",
    "parent.task.id", "parent.taskrun", "parent.taskrun.value", "parents", "task", "task.id", "task.type", "taskrun",
    "taskrun.attemptsCount", "taskrun.id", "taskrun.iteration", "taskrun.parentId", "taskrun.startDate",
    "taskrun.value", "tasks", "trigger", "vars",
)  # fmt: skip


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loop stands: the index from 0, the key of a map, the value."""

    index: int
    value: Any
    key: str | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known where an expression stands; None means that there is no such thing there."""

    dialect: str = "1.x"
    envs: Mapping[str, Any] = {}
    globals: Mapping[str, Any] = {}
    flow: Mapping[str, Any] | None = None
    task: Mapping[str, Any] | None = None
    taskrun: Mapping[str, Any] | None = None
    # From the nearest to the farthest: {task: {id}, taskrun: {value}, outputs}.
    parents: tuple[Mapping[str, Any], ...] = ()
    execution: Mapping[str, Any] | None = None
    outputs: Mapping[str, Any] = {}
    tasks: Mapping[str, Any] | None = None
    inputs: Mapping[str, Any] = {}
    labels: Iterable[tuple[str, str]] | None = None
    # A trigger that is evaluated: {id, type}.
    trigger: Mapping[str, Any] | None = None
    # What the trigger of an execution has put into it, and which trigger that was.
    trigger_variables: Mapping[str, Any] | None = None
    trigger_origin: Mapping[str, Any] | None = None
    variables: Mapping[str, Any] | None = None
    iteration: Iteration | None = None
    # From the outermost to the innermost.
    iteration_parents: tuple[Iteration, ...] = ()
    kestra: Mapping[str, str] | None = None
    extra: Mapping[str, Any] = {}


def build(facts: Facts) -> dict[str, Any]:
    """Return the variables as expressions see them."""
    context: dict[str, Any] = {"envs": dict(facts.envs), "globals": dict(facts.globals)}
    for name in ("flow", "task", "taskrun", "kestra"):
        value = getattr(facts, name)
        if value is not None:
            context[name] = {key: item for key, item in value.items() if item is not None}
    if facts.execution is not None:
        context["execution"] = {key: item for key, item in facts.execution.items() if item is not None}
        context["outputs"] = dict(facts.outputs)
        if facts.tasks is not None:
            context["tasks"] = dict(facts.tasks)
        if facts.taskrun is not None:
            context["parents"] = [dict(parent) for parent in facts.parents]
    if facts.parents:
        context["parent"] = dict(facts.parents[0])
    if facts.inputs:
        context["inputs"] = nested(facts.inputs.items())
    if facts.labels is not None:
        context["labels"] = nested(facts.labels)
    if facts.variables is not None:
        context["vars"] = dict(facts.variables)
    if facts.iteration is not None:
        context["item"] = _item(facts.iteration, facts.iteration_parents)
    trigger = _trigger(facts)
    if trigger is not None:
        context["trigger"] = trigger
    context.update(facts.extra)
    return context


def _trigger(facts: Facts) -> dict[str, Any] | None:
    if facts.trigger is not None:
        return dict(facts.trigger) | _origin(facts, facts.trigger)
    if facts.trigger_variables is None and facts.trigger_origin is None:
        return None
    origin = _origin(facts, facts.trigger_origin)
    return {**(facts.trigger_variables or {}), **origin}


def _origin(facts: Facts, trigger: Mapping[str, Any] | None) -> dict[str, Any]:
    # The first dialect has no such variable, and its triggers' variables are compared whole.
    return {} if trigger is None or facts.dialect == "1.x" else {"_context": dict(trigger)}


def _item(iteration: Iteration, parents: tuple[Iteration, ...]) -> dict[str, Any]:
    item = _iteration(iteration)
    if parents:
        item["parent"] = _iteration(parents[-1])
        item["parents"] = [_iteration(parent) for parent in parents]
    return item


def _iteration(iteration: Iteration) -> dict[str, Any]:
    key = {} if iteration.key is None else {"key": iteration.key}
    return {"index": iteration.index, **key, "value": iteration.value}
