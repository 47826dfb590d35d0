"""What expressions of an execution see, for people who try them out: as its tasks saw it, secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiercel.errors import ExpressionError, NotFound, Refused
from tiercel.expression.context import Facts, Iteration, build
from tiercel.model.execution import LoopItem, LoopRun, OutputRef, TaskRun
from tiercel.model.flow import Dialect, Flow
from tiercel.model.variable import visible
from tiercel.storage.claimcheck import check_out
from tiercel.webserver.context import ApiContext
from tiercel.webserver.reader import View

EXPRESSION_MAX: Final = 1 << 20
"""More than any flow holds; it is parsed while others wait."""


async def evaluated(
    api: ApiContext, flow: Flow | None, view: View, run: TaskRun | None, expression: str
) -> dict[str, Any]:
    """Return what an expression gives for the execution, or for one of its task runs; or why it cannot be told."""
    if len(expression) > EXPRESSION_MAX:
        raise Refused(f"The expression is longer than {EXPRESSION_MAX} letters.")
    dialect = flow.dialect if flow is not None else Dialect.V2
    variables = build(await facts(api, flow, view, run, dialect))
    try:
        result = await api.expressions.rendered(
            view.execution.tenant_id,
            dialect,
            lambda renderer: renderer.render(expression, variables),
            mask_secrets=True,
        )
    except ExpressionError as error:
        return {"result": None, "error": str(error), "stackTrace": f"{type(error).__name__}: {error}"}
    return {"result": result, "error": None, "stackTrace": None}


async def facts(api: ApiContext, flow: Flow | None, view: View, run: TaskRun | None, dialect: Dialect) -> Facts:
    """Return the facts of an execution, or of one of its task runs."""
    execution = view.execution
    by_seq = {each.seq: each for each in view.runs}
    values = {seq: await output_value(api, execution.tenant_id, ref) for seq, ref in view.outputs.items()}
    trigger = execution.trigger
    return Facts(
        dialect=dialect.value,
        globals=api.settings.variables_globals,
        envs=api.settings.envs,
        kestra=api.settings.kestra,
        flow={
            "id": execution.flow_id,
            "namespace": execution.namespace,
            "revision": execution.flow_revision,
            "tenantId": execution.tenant_id,
        },
        execution={
            "id": execution.id,
            "startDate": execution.history[0].date,
            "originalId": execution.original_id or execution.id,
            "state": execution.state.value,
            "outputs": execution.outputs,
        },
        taskrun=None if run is None else _task_run(run, by_seq),
        task=None if run is None else {"id": run.task_id},
        parents=() if run is None else tuple(_parents(run, by_seq, values)),
        outputs=outputs_tree(by_seq, values),
        tasks=_states_tree(by_seq),
        inputs=execution.inputs or {},
        labels=execution.labels,
        trigger_variables=trigger.variables if trigger is not None else None,
        trigger_origin={"id": trigger.id, "type": trigger.type} if trigger is not None else None,
        iteration=_iteration(execution.loop_run) if execution.loop_run is not None else None,
        iteration_parents=tuple(map(_iteration, execution.loop_run.parents)) if execution.loop_run is not None else (),
        variables=visible(flow.variables if flow is not None else {}, execution) or None,
        extra=execution.variables,
    )


async def output_value(api: ApiContext, tenant_id: str, ref: OutputRef) -> dict[str, Any]:
    """Return outputs, read from internal storage when they are there; a file that is gone gives none."""
    if ref.uri is None:
        return ref.value or {}
    try:
        return await check_out(api.storage, tenant_id, ref.uri, ref.digest)
    except NotFound:
        return {}


def _iteration(item: LoopRun | LoopItem) -> Iteration:
    return Iteration(index=item.index, key=item.key, value=item.value)


def _task_run(run: TaskRun, by_seq: Mapping[int, TaskRun]) -> dict[str, Any]:
    return {
        "id": run.id,
        "startDate": run.history[0].date,
        "attemptsCount": max(0, run.attempt - 1),
        "parentId": next((above.id for above in _above(run, by_seq)), None),
        "value": run.value,
        "iteration": run.iteration,
    }


def _above(run: TaskRun, by_seq: Mapping[int, TaskRun]) -> list[TaskRun]:
    """Return the runs around a run, nearest first."""
    found = []
    while run.parent is not None and run.parent in by_seq:
        run = by_seq[run.parent]
        found.append(run)
    return found


def _parents(
    run: TaskRun, by_seq: Mapping[int, TaskRun], values: Mapping[int, Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for above in _above(run, by_seq):
        entry: dict[str, Any] = {}
        if above.value is not None:
            entry["taskrun"] = {"value": above.value}
        if values.get(above.seq):
            entry["outputs"] = values[above.seq]
        if entry:
            found.append(entry)
    return found


def outputs_tree(by_seq: Mapping[int, TaskRun], values: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the variable `outputs`: task id, values of the iterations from the outermost, outputs."""
    tree: dict[str, Any] = {}
    for seq in sorted(values):
        if seq in by_seq:
            _place(tree, by_seq[seq], by_seq).update(values[seq])
    return tree


def _states_tree(by_seq: Mapping[int, TaskRun]) -> dict[str, Any]:
    """Return the variable `tasks`: task id, values of the iterations from the outermost, `state`."""
    tree: dict[str, Any] = {}
    for seq in sorted(by_seq):
        _place(tree, by_seq[seq], by_seq)["state"] = by_seq[seq].state.value
    return tree


def _place(tree: dict[str, Any], run: TaskRun, by_seq: Mapping[int, TaskRun]) -> dict[str, Any]:
    """Return the map of a run in a tree by task ids and values."""
    place: dict[str, Any] = tree.setdefault(run.task_id, {})
    for each in (*reversed(_above(run, by_seq)), run):
        if each.value is not None:
            place = place.setdefault(each.value, {})
    return place
