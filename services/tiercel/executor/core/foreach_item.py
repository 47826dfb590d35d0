"""
ForEachItem: a file cut into batches, and an execution of another flow for each of them.

The task stands for three that no author writes. A worker cuts the file (`<id>_split`) and joins what the executions
gave (`<id>_merge`); between them, `<id>_items` counts its executions as a Loop counts its iterations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.errors import ExpressionError
from tiercel.executor.core import iteration_control, iterations, subflow
from tiercel.executor.core.context import path_of, records_of, taskrun_of
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import set_outputs
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Node
from tiercel.executor.core.rendering import Rendering
from tiercel.executor.core.updates import labels_of
from tiercel.expression import ion
from tiercel.messages.execution_event import ChildEnded, CreateExecution
from tiercel.model.execution import ParentTask
from tiercel.model.live import Branch
from tiercel.model.state import State
from tiercel.plugins.core.flow.items import Items
from tiercel.storage import uris

WEIGHT = (State.FAILED, State.KILLED, State.WARNING)
"""Ends of batches that the task takes over, the heaviest first; as in Kestra, a cancelled one is none of them."""


def begin(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """Find the batches that the split has made, or open those of a restarted task that have not ended well."""
    record = draft.get(seq)
    if record.branch is not None and record.branch.data.get("of") == record.run.id:
        _reopen(draft, seq, record.branch)
        return
    task = node.task
    assert isinstance(task, Items)
    found = records_of(task.splits_of, draft, facts, path_of(draft, record.run))
    splits = (found[-1].ref.value or {}).get("splits") if found else None
    if not splits:
        raise ExpressionError(f"Task '{task.splits_of}' has no output 'splits'; the file was not split.")
    total = facts.ask("row_count", splits)
    draft.set_branch(seq, Branch(total=total, data={"of": record.run.id, "uri": splits, "states": {}}))


def _reopen(draft: Draft, seq: int, branch: Branch) -> None:
    iterations.reopen(draft, seq, branch)
    states = {name: n for name, n in branch.data["states"].items() if State(name) not in iterations.ENDED_BADLY}
    branch = draft.branch(seq)
    draft.set_branch(seq, replace(branch, data={**branch.data, "states": states}))


def advance(draft: Draft, facts: Facts, seq: int, node: Node) -> State | None:
    """Start the executions of batches; return the task's final state when all have ended."""
    task = node.task
    assert isinstance(task, Items)
    branch = draft.branch(seq)
    # What nobody waits for does not tell its end, so that it cannot be counted.
    most = facts.around.jobs_max if task.wait else branch.total
    while (
        (branch.next < branch.total or branch.data.get("again"))
        and branch.live < most
        and iterations.has_room(draft, facts, seq)
    ):
        iterations.start_next(draft, seq, lambda index: _create(draft, facts, seq, node, index))
        branch = draft.branch(seq)
    is_started = branch.next >= branch.total and not branch.data.get("again")
    over = is_started and (not task.wait or branch.ended >= branch.total)
    if branch.total:
        _show(draft, seq, branch, is_awaited=task.wait, over=over)
    if not over:
        return None
    if not task.transmit_failed or not task.wait:
        return State.SUCCESS
    return next((state for state in WEIGHT if branch.data["states"].get(str(state))), State.SUCCESS)


def _show(draft: Draft, seq: int, branch: Branch, *, is_awaited: bool, over: bool) -> None:
    if is_awaited:
        counts = {"CREATED": 0, "RUNNING": branch.live, **branch.data["states"]}
    else:
        # What nobody waits for is done when it is started.
        counts = {"RUNNING": 0, "SUCCESS": branch.next}
    outputs: dict[str, Any] = {"iterations": counts, "numberOfBatches": branch.total}
    if over:
        outputs["subflowOutputsBaseUri"] = _folder(draft, seq)
    set_outputs(draft, seq, outputs)


def _folder(draft: Draft, seq: int) -> str:
    execution = draft.execution
    run = draft.get(seq).run
    return uris.task(execution.namespace, execution.flow_id, execution.id, run.task_id, run.id)


def _create(draft: Draft, facts: Facts, seq: int, node: Node, index: int) -> CreateExecution:
    task = node.task
    assert isinstance(task, Items)
    execution = draft.execution
    run = draft.get(seq).run
    window: list[str] = facts.ask("rows", draft.branch(seq).data["uri"], index // iterations.WINDOW)
    shown = {**taskrun_of(draft, run), "items": window[index % iterations.WINDOW], "iteration": index}
    rendering = Rendering(draft, facts, run, node, taskrun=shown)
    namespace, flow_id = rendering.text(task.namespace) or "", rendering.text(task.flow_id) or ""
    plan = subflow.child_plan(facts, namespace, flow_id, task.revision)
    values: Mapping[str, Any] = rendering.mapping(task.inputs, "inputs") if task.inputs is not None else {}
    labels = subflow.child_labels(draft, plan, rendering.holds(task.inherit_labels), labels_of(task.labels, rendering))
    child_id = iteration_control.child_id(run, index)
    return replace(
        subflow.creation(draft, plan, child_id),
        inputs=subflow.child_inputs(plan, values, draft, facts, child_id),
        labels=labels,
        parent=ParentTask(execution_id=execution.id, seq=seq, attempt=run.attempt, wait=task.wait, iteration=index),
        trigger=subflow.trigger_of(draft, node, run, index),
        schedule_date=subflow.date_of(rendering.text(task.schedule_date)),
    )


def child_ended(draft: Draft, facts: Facts, event: ChildEnded, node: Node) -> None:
    """Count a batch whose execution has ended, and put its outputs where the merge looks for them."""
    if not iterations.count(draft, event):
        return
    branch = draft.branch(event.seq)
    states = dict(branch.data["states"])
    states[str(event.state)] = states.get(str(event.state), 0) + 1
    draft.set_branch(event.seq, replace(branch, data={**branch.data, "states": states}))
    if event.outputs:
        place = f"{_folder(draft, event.seq)}/{event.iteration}/outputs.ion"
        facts.ask("stored", place, ion.dumps(event.outputs).encode() + b"\n")
    draft.ready.append(event.seq)
