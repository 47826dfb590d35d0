"""Subflows: a task run that starts another execution, and its end when that one has ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tiercel.errors import ExpressionError, InvalidInput
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import begin_attempt, set_outputs
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.inputs import typed_inputs
from tiercel.executor.core.outer import OuterOutputs
from tiercel.executor.core.plan import FlowPlan, Node
from tiercel.executor.core.rendering import Rendering
from tiercel.executor.core.updates import labels_of
from tiercel.messages.execution_event import ChildEnded, CreateExecution, RestartRequested
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model import ids
from tiercel.model.execution import ExecutionKind, ParentTask, TaskRun, TriggerInfo
from tiercel.model.live import RunRecord
from tiercel.model.state import State
from tiercel.model.system import CORRELATION_ID, is_system_label
from tiercel.plugins.core.flow.subflow import RestartBehavior, Subflow
from tiercel.queue.base import Outgoing

TRANSMITTED = frozenset({State.FAILED, State.PAUSED, State.KILLED, State.WARNING})
"""States of a child that its parent's task run takes over."""


def begin(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """Start the child execution; raise a FlowAuthorError when it cannot be started."""
    task = node.task
    assert isinstance(task, Subflow)
    record = draft.get(seq)
    if record.run.state is State.RESTARTED and _restart_child(draft, record, task):
        return
    rendering = Rendering(draft, facts, record.run, node)
    namespace, flow_id = rendering.text(task.namespace) or "", rendering.text(task.flow_id) or ""
    plan = child_plan(facts, namespace, flow_id, task.revision)
    execution = draft.execution
    values = rendering.mapping(task.inputs, "inputs") if task.inputs is not None else {}
    labels = child_labels(draft, plan, rendering.holds(task.inherit_labels), labels_of(task.labels, rendering))
    draft.turn(seq, State.RUNNING)
    record = draft.get(seq)
    run = begin_attempt(record.run, draft.at)
    child_id = ids.derived_id(draft.at, execution.id, run.id, run.attempt)
    draft.put(replace(record, run=run, child_id=child_id))
    message = replace(
        creation(draft, plan, child_id),
        inputs=child_inputs(plan, values, draft, facts, child_id),
        labels=labels,
        parent=ParentTask(execution_id=execution.id, seq=seq, attempt=run.attempt, wait=task.wait),
        trigger=trigger_of(draft, node, run),
        schedule_date=date_of(rendering.text(task.schedule_date)),
    )
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=child_id, message=message))
    set_outputs(draft, seq, {"executionId": child_id})
    for name in undeclared(plan, values):
        draft.log(
            "WARN",
            f"Input {name} was provided by parent execution {execution.id} for subflow {namespace}.{flow_id} "
            "but isn't declared at the subflow inputs",
            run,
        )
    draft.log(
        "INFO", f'Created new execution [[link execution="{child_id}" flowId="{flow_id}" namespace="{namespace}"]]', run
    )


def _restart_child(draft: Draft, record: RunRecord, task: Subflow) -> bool:
    """Restart the child that has failed instead of starting another, when the task says so."""
    if record.child_id is None or not task.wait or task.restart_behavior is not RestartBehavior.RETRY_FAILED:
        return False
    draft.turn(record.run.seq, State.RUNNING)
    record = draft.get(record.run.seq)
    draft.put(replace(record, run=begin_attempt(record.run, draft.at)))
    message = RestartRequested(execution_id=record.child_id or "", at=draft.at)
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=message.execution_id, message=message))
    return True


def creation(draft: Draft, plan: FlowPlan, child_id: str) -> CreateExecution:
    """Return what creates an execution of a flow for an execution, without what its task gives it."""
    execution = draft.execution
    return CreateExecution(
        execution_id=child_id,
        at=draft.at,
        tenant_id=execution.tenant_id,
        namespace=plan.flow.namespace,
        flow_id=plan.flow.id,
        flow_revision=plan.flow.revision or 1,
        kind=execution.kind if execution.kind is not ExecutionKind.LOOP else ExecutionKind.NORMAL,
    )


def child_plan(facts: Facts, namespace: str, flow_id: str, revision: int | None) -> FlowPlan:
    """Return the flow that is to be run; raise ExpressionError when it does not exist or may not run."""
    plan: FlowPlan | None = facts.ask("flow", namespace, flow_id, revision)
    if plan is None:
        which = "" if revision is None else f" at revision {revision}"
        raise ExpressionError(f"Unable to find flow '{namespace}'.'{flow_id}'{which}; create it, or correct the task.")
    if plan.flow.disabled:
        raise ExpressionError(f"Cannot execute flow '{namespace}'.'{flow_id}' since it is disabled.")
    if plan.flow.draft:
        raise ExpressionError(f"Cannot execute flow '{namespace}'.'{flow_id}' since it is a draft; save it as a flow.")
    return plan


def child_inputs(
    plan: FlowPlan,
    values: Mapping[str, Any],
    draft: Draft,
    facts: Facts,
    child_id: str,
) -> dict[str, Any] | None:
    """Type the inputs of a child; raise ExpressionError with all problems."""
    try:
        return typed_inputs(plan.flow, values, facts, draft.at, child_id)
    except InvalidInput as error:
        raise ExpressionError(f"Invalid inputs for flow '{plan.flow.namespace}.{plan.flow.id}': {error}") from error


def undeclared(plan: FlowPlan, values: Mapping[str, Any]) -> list[str]:
    """Return the names of values that are no inputs of the child."""
    declared = {name for each in plan.flow.inputs for name in (each.id, each.id.partition(".")[0])}
    return [name for name in values if name not in declared]


def trigger_of(draft: Draft, node: Node, run: TaskRun, iteration: int | None = None) -> TriggerInfo:
    """Return what tells a child who started it: the task run, and for a batch its number."""
    execution = draft.execution
    place = {"taskRunValue": run.value, "taskRunIteration": run.iteration if iteration is None else iteration}
    return TriggerInfo(
        id=node.id,
        type=node.task.type,
        variables={
            "executionId": execution.id,
            "namespace": execution.namespace,
            "flowId": execution.flow_id,
            "flowRevision": execution.flow_revision,
            "taskRunId": run.id,
            "taskId": run.task_id,
            **{name: value for name, value in place.items() if value is not None},
        },
    )


def child_labels(
    draft: Draft, plan: FlowPlan, inherit: bool, more: list[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Return the labels of a child: of its flow, those given, the system's, and the parent's when it inherits them."""
    own = draft.execution.labels
    correlation = dict(own).get(CORRELATION_ID, draft.execution.id)
    result = {key: value for key, value in own if inherit or is_system_label(key)}
    result.update((key, value) for key, value in plan.flow.labels.items() if not is_system_label(key))
    result.update(more)
    result[CORRELATION_ID] = correlation
    return tuple(result.items())


def date_of(text: str | None) -> datetime | None:
    """Read a date, in UTC when it has no zone; raise ExpressionError when it is none."""
    if not text:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise ExpressionError(f"'scheduleDate' must be an ISO-8601 date, but it is '{text}'.") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def final_state(task: Subflow, child: State) -> State:
    """Return the state that a child's end gives to the task run."""
    if not task.transmit_failed or child not in TRANSMITTED:
        return State.SUCCESS
    return State.FAILED if child is State.PAUSED else child


def tell_end(draft: Draft, facts: Facts, run: TaskRun, node: Node, event: ChildEnded, state: State) -> None:
    """Log that the child has ended badly, when that is how the task run ends too."""
    task = node.task
    assert isinstance(task, Subflow)
    level = {State.FAILED: "ERROR", State.WARNING: "WARN"}.get(state)
    if level is None:
        return
    rendering = Rendering(draft, facts, run, node)
    where = f'flowId="{rendering.text(task.flow_id)}" namespace="{rendering.text(task.namespace)}"'
    reason = f'Subflow execution [[link execution="{event.child_id}" {where}]] ends in {state} state'
    draft.log(level, reason, run)
    if state is State.FAILED:
        draft.put(replace(draft.get(run.seq), run=replace(draft.get(run.seq).run, error=reason)))


def outputs_of(event: ChildEnded, extracted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the outputs of the task run whose child has ended."""
    outputs: dict[str, Any] = {"executionId": event.child_id, "state": str(event.state)}
    if event.outputs is not None or extracted is not None:
        outputs["outputs"] = {**(extracted or {}), **(event.outputs or {})}
    return outputs


def extracted(draft: Draft, facts: Facts, seq: int, node: Node, event: ChildEnded) -> dict[str, Any] | None:
    """
    Render the property `outputs` of the 1.x dialect, over the outputs of the child's tasks; None without it.

    Raises a FlowAuthorError when it cannot be rendered.
    """
    task = node.task
    assert isinstance(task, Subflow)
    if not task.outputs:
        return None
    rendering = Rendering(draft, facts, draft.get(seq).run, node, outputs=OuterOutputs(facts, event.child_id))
    return rendering.mapping(task.outputs, "outputs")
