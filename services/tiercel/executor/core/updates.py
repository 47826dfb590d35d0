"""Tasks that the executor applies to the execution itself: labels, variables, and leaving early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tiercel.errors import ExpressionError
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Node
from tiercel.executor.core.rendering import Rendering
from tiercel.model.state import State
from tiercel.model.system import is_system_label
from tiercel.model.variable import has, visible, without
from tiercel.model.variable import merged as merged_variables
from tiercel.plugins.core.execution.labels import Exit, ExitState, Labels, SetVariables, UnsetVariables


def apply(draft: Draft, facts: Facts, seq: int, node: Node) -> State:
    """Apply the task; return the state that its run ends in. Raise a FlowAuthorError when it cannot be applied."""
    rendering = Rendering(draft, facts, draft.get(seq).run, node)
    task = node.task
    match task:
        case Labels():
            draft.change(labels=merged(draft.execution.labels, labels_of(task.labels, rendering)))
        case SetVariables():
            _set_variables(
                draft, facts, rendering.mapping(task.variables, "variables"), rendering.holds(task.overwrite)
            )
        case UnsetVariables():
            names = _names(rendering.value(task.variables))
            _unset_variables(draft, facts, names, rendering.holds(task.ignore_missing))
        case Exit():
            return _exit(draft, _exit_state(rendering.text(str(task.state)) or "SUCCESS"))
        case _:
            raise ExpressionError(f"Tasks of type '{task.type}' cannot be applied to an execution.")
    return State.SUCCESS


def labels_of(source: Any, rendering: Rendering) -> list[tuple[str, str]]:
    """Render labels given as a map, a list of `{key, value}`, or JSON of either."""
    value = rendering.value(source)
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value.encode())
        except ValueError as error:
            raise ExpressionError(
                f"Labels must be a map, a list or JSON of these, but '{value[:200]}' is not: {error}."
            ) from error
    if isinstance(value, Mapping):
        pairs = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple) and all(isinstance(item, Mapping) and "key" in item for item in value):
        pairs = [(str(item["key"]), item.get("value")) for item in value]
    elif value is None:
        return []
    else:
        raise ExpressionError("Labels must be a map, or a list of maps with 'key' and 'value'.")
    for key, item in pairs:
        if not key or item == "":
            raise ExpressionError("A label needs a key and a value, but one of them is empty.")
        if is_system_label(key):
            raise ExpressionError(
                f"System labels can only be set by Kestra itself, offending label: {key}={_text(item)}"
            )
    return [(key, _text(item)) for key, item in pairs if item is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def merged(labels: tuple[tuple[str, str], ...], more: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return labels with more of them; one of the same key is replaced, in its place."""
    result = dict(labels)
    result.update(more)
    return tuple(result.items())


def _set_variables(draft: Draft, facts: Facts, variables: dict[str, Any], overwrite: bool) -> None:
    assert facts.plan is not None
    if not overwrite:
        known = visible(facts.plan.flow.variables, draft.execution)
        twice = [name for name in variables if name in known]
        if twice:
            raise ExpressionError(
                f"`overwrite` is set to false and the following variables already exist: {','.join(twice)}"
            )
    draft.change(variables=merged_variables(draft.execution.variables, variables))


def _unset_variables(draft: Draft, facts: Facts, names: list[str], ignore_missing: bool) -> None:
    assert facts.plan is not None
    for name in names:
        path = name.split(".")
        if not has(visible(facts.plan.flow.variables, draft.execution), path):
            if ignore_missing:
                continue
            raise ExpressionError(f"The variable '{name}' is not set; say 'ignoreMissing: true' to accept that.")
        gone = draft.execution.unset_variables
        if has(facts.plan.flow.variables, path) and name not in gone:
            gone = (*gone, name)
        draft.change(variables=without(draft.execution.variables, path), unset_variables=gone)


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value.encode(), type=list[Any]) if value.startswith("[") else [value]
        except ValueError as error:
            raise ExpressionError(
                f"'variables' must be a list of names, but '{value[:200]}' is not: {error}."
            ) from error
    if not isinstance(value, list | tuple):
        raise ExpressionError("'variables' must be a list of names.")
    return [str(name) for name in value]


def _exit_state(text: str) -> State:
    if text not in ExitState.__members__:
        raise ExpressionError(f"An execution cannot end as '{text}'; use one of {', '.join(ExitState)}.")
    return State("CANCELLED" if text == "CANCELED" else text)


def _exit(draft: Draft, state: State) -> State:
    draft.leave = state
    return state
