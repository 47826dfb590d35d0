"""
Flow triggers: which executions of other flows start one of this (reference 5.4), in both generations.

Pure. A trigger without dependencies and multiple conditions fires at once (`single_holds`). One that waits for several
collects what was met in a window (`results`, `satisfied`); its owner keeps the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tiercel.condition.evaluate import Render, Subject, Upstream, holds, label_pairs, when_holds
from tiercel.condition.label import trigger_labels
from tiercel.condition.window import time_window_of
from tiercel.errors import ExpressionError
from tiercel.expression import java_regex
from tiercel.expression.nesting import nested
from tiercel.expression.truth import means_true
from tiercel.model.execution import Execution, ExecutionKind
from tiercel.model.flow import Flow
from tiercel.model.state import TERMINATED, State
from tiercel.model.system import CORRELATION_ID
from tiercel.plugins.core.condition.execution import MultipleCondition
from tiercel.plugins.core.trigger.flow import (
    DependencyMode,
    ExecutionFilter,
    FilterField,
    FilterType,
    FlowDependency,
    FlowTrigger,
    Operand,
    PreconditionFilter,
    Preconditions,
    TimeWindow,
    UpstreamFlow,
    Window,
)

STATES_DEFAULT: Final = TERMINATED | {State.PAUSED}
"""A Flow trigger that names no states listens to ends and pauses."""

DEPENDENCY_STATES_DEFAULT: Final = (State.SUCCESS, State.WARNING)
"""A dependency that names no states, of a trigger that names none, waits for these."""


def listening(flow: Flow, execution: Execution) -> list[FlowTrigger]:
    """Return the triggers of a flow that an execution in its present state concerns; a flow does not start itself."""
    if flow.disabled or flow.deleted or flow.draft or execution.kind is not ExecutionKind.NORMAL:
        return []
    if (flow.tenant_id, flow.namespace, flow.id) == (execution.tenant_id, execution.namespace, execution.flow_id):
        return []
    if flow.tenant_id != execution.tenant_id:
        return []
    return [
        trigger
        for trigger in flow.triggers
        if isinstance(trigger, FlowTrigger)
        and not trigger.disabled
        and execution.state in (STATES_DEFAULT if trigger.states is None else trigger.states)
    ]


def single_holds(trigger: FlowTrigger, subject: Subject, render: Render) -> bool:
    """Tell whether `when` and the conditions that look at one execution only hold; one that cannot be told does not."""
    try:
        return when_holds(trigger.when, subject.variables, render) and all(
            holds(condition, subject, render)
            for condition in trigger.conditions
            if not isinstance(condition, MultipleCondition)
        )
    except ExpressionError:
        return False


def windows(trigger: FlowTrigger) -> dict[str, TimeWindow | Window | None]:
    """Return the windows that the trigger collects in, by their names; none for one that fires at once."""
    found: dict[str, TimeWindow | Window | None] = {
        condition.id: time_window_of(condition)
        for condition in trigger.conditions
        if isinstance(condition, MultipleCondition)
    }
    if trigger.preconditions is not None:
        found[trigger.preconditions.id] = trigger.preconditions.time_window
    if trigger.depends_on:
        found[""] = trigger.window
    return found


def kept_after_firing(trigger: FlowTrigger, window: str) -> bool:
    """Tell whether a window that was satisfied stays until its end, so that it does not have to be met anew."""
    for condition in trigger.conditions:
        if isinstance(condition, MultipleCondition) and condition.id == window:
            return not condition.reset_on_success
    if trigger.preconditions is not None and trigger.preconditions.id == window:
        return not trigger.preconditions.reset_on_success
    return trigger.window is not None and trigger.window.fire_once


def results(trigger: FlowTrigger, window: str, subject: Subject, render: Render) -> dict[str, bool]:
    """Return, for each condition of a window by its key, whether this execution meets it."""
    for condition in trigger.conditions:
        if isinstance(condition, MultipleCondition) and condition.id == window:
            return {key: _safe(holds, inner, subject, render) for key, inner in condition.conditions.items()}
    if trigger.preconditions is not None and trigger.preconditions.id == window:
        return _precondition_results(trigger.preconditions, subject, render)
    return {
        key: _safe(_dependency_met, _with_states(dependency, trigger), subject, render)
        for key, dependency in zip(_dependency_keys(trigger), trigger.depends_on, strict=True)
    }


def satisfied(trigger: FlowTrigger, window: str, met: Mapping[str, bool]) -> bool:
    """Tell whether what was met in a window is enough."""
    keys = _keys(trigger, window)
    count = sum(1 for key in keys if met.get(key))
    if window == "" and trigger.mode is DependencyMode.ANY:
        return count >= 1
    if window == "" and trigger.mode is DependencyMode.AT_LEAST:
        return count >= (trigger.min_satisfied or 1)
    return bool(keys) and count == len(keys)


def trigger_variables(execution: Execution, outputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the trigger's variables of an execution that another one starts."""
    variables: dict[str, Any] = {
        "executionId": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow_id,
        "flowRevision": execution.flow_revision,
        "state": execution.state.value,
        "executionLabels": nested(pair for pair in execution.labels if pair[0] != CORRELATION_ID),
    }
    if outputs:
        variables["outputs"] = dict(outputs)
    return variables


def execution_labels(
    flow: Flow, trigger: FlowTrigger, execution: Execution, variables: Mapping[str, Any], render: Render
) -> tuple[tuple[str, str], ...]:
    """Return the labels of the new execution: flow and trigger, and the correlation of the one that starts it."""
    labels = dict(trigger_labels(flow, trigger, variables, render))
    labels[CORRELATION_ID] = dict(reversed(execution.labels)).get(CORRELATION_ID, execution.id)
    return tuple(labels.items())


def _keys(trigger: FlowTrigger, window: str) -> Sequence[str]:
    for condition in trigger.conditions:
        if isinstance(condition, MultipleCondition) and condition.id == window:
            return list(condition.conditions)
    before = trigger.preconditions
    if before is not None and before.id == window:
        return [*(_flow_key(place) for place in range(len(before.flows))), *(_where_key(each) for each in before.where)]
    return _dependency_keys(trigger)


def _dependency_keys(trigger: FlowTrigger) -> list[str]:
    """Name dependencies by what they wait for, so that an open window outlives another order of them."""
    seen: dict[str, int] = {}
    keys = []
    for each in trigger.depends_on:
        name = f"{each.namespace or '*'}/{each.flow_id or '*'}"
        seen[name] = seen.get(name, 0) + 1
        keys.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return keys


def _flow_key(place: int) -> str:
    return f"condition_{place}"


def _where_key(each: ExecutionFilter) -> str:
    return f"condition_{each.id}"


def _precondition_results(before: Preconditions, subject: Subject, render: Render) -> dict[str, bool]:
    found = {
        _flow_key(place): _safe(_upstream_met, upstream, subject, render) for place, upstream in enumerate(before.flows)
    }
    found.update({_where_key(each): _safe(_where_met, each, subject, render) for each in before.where})
    return found


def _safe(rule: Any, each: Any, subject: Subject, render: Render) -> bool:
    """Ask one condition; what cannot be told is not met."""
    try:
        return bool(rule(each, subject, render))
    except ExpressionError:
        return False


def _upstream_met(each: UpstreamFlow, subject: Subject, render: Render) -> bool:
    execution = _execution(subject)
    return (
        execution.namespace == each.namespace
        and each.flow_id in (None, execution.flow_id)
        and (not each.states or execution.state in each.states)
        and _labelled(execution, each.labels, subject, render)
    )


def _with_states(dependency: FlowDependency, trigger: FlowTrigger) -> FlowDependency:
    if dependency.states is not None:
        return dependency
    return msgspec.structs.replace(dependency, states=trigger.states or DEPENDENCY_STATES_DEFAULT)


def _dependency_met(each: FlowDependency, subject: Subject, render: Render) -> bool:
    execution = _execution(subject)
    return (
        each.namespace in (None, execution.namespace)
        and each.flow_id in (None, execution.flow_id)
        and execution.state in (each.states or ())
        and _labelled(execution, each.labels, subject, render)
        and when_holds(each.when, subject.variables, render)
    )


def _where_met(each: ExecutionFilter, subject: Subject, render: Render) -> bool:
    found = (_compared(one, subject, render) for one in each.filters)
    return all(found) if each.operand is Operand.AND else any(found)


def _compared(one: PreconditionFilter, subject: Subject, render: Render) -> bool:
    value = _field(one, subject, render)
    wanted = one.value or ""
    match one.type:
        case FilterType.EQUAL_TO:
            return value == wanted
        case FilterType.NOT_EQUAL_TO:
            return value != wanted
        case FilterType.IN:
            return value in (one.values or ())
        case FilterType.NOT_IN:
            return value not in (one.values or ())
        case FilterType.IS_TRUE:
            return means_true(value)
        case FilterType.IS_FALSE:
            return not means_true(value)
        case FilterType.IS_NULL:
            return not value
        case FilterType.IS_NOT_NULL:
            return bool(value)
        case FilterType.STARTS_WITH:
            return value.startswith(wanted)
        case FilterType.ENDS_WITH:
            return value.endswith(wanted)
        case FilterType.REGEX:
            return _matches(wanted, value)
        case FilterType.CONTAINS:
            return wanted in value


def _matches(pattern: str, value: str) -> bool:
    try:
        return java_regex.full_match(pattern, value)
    except (ValueError, TimeoutError) as error:
        raise ExpressionError(f"The pattern '{pattern}' cannot be matched: {error}") from error


def _field(one: PreconditionFilter, subject: Subject, render: Render) -> str:
    execution = _execution(subject)
    match one.field:
        case FilterField.FLOW_ID:
            return execution.flow_id
        case FilterField.NAMESPACE:
            return execution.namespace
        case FilterField.STATE:
            return execution.state.value
        case FilterField.EXPRESSION:
            return render(one.value or "", subject.variables)


def _labelled(execution: Upstream, labels: Any, subject: Subject, render: Render) -> bool:
    if not labels:
        return True
    pairs = label_pairs(labels, subject.variables, render)
    return all(execution.labels.get(key) == render(str(value), subject.variables) for key, value in pairs)


def _execution(subject: Subject) -> Upstream:
    assert subject.execution is not None, "A Flow trigger is asked about an execution."
    return subject.execution
