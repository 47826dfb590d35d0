"""
Jobs for workers: what is sent, and what becomes of an attempt when its worker reports.

A job carries only that part of the context which the task's expressions can reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.executor.core import reach, successors
from tiercel.executor.core.context import LazyContext, context_of, outputs_tree, path_of, records_of
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.inputs import inputs_of
from tiercel.executor.core.plan import Kind, Node
from tiercel.messages.worker_job import TaskJob
from tiercel.model.live import RunRecord
from tiercel.model.state import State
from tiercel.queue.base import LANE_DEFAULT, OutgoingJob


def submit(draft: Draft, facts: Facts, seq: int, node: Node, lane: str) -> None:
    """Send a task run's next attempt to the workers, by the lane that was chosen for it."""
    record = draft.get(seq)
    run = record.run
    execution = draft.execution
    job = TaskJob(
        tenant_id=execution.tenant_id,
        namespace=execution.namespace,
        flow_id=execution.flow_id,
        flow_revision=execution.flow_revision,
        execution_id=execution.id,
        seq=seq,
        attempt=run.attempt + 1,
        task_id=run.task_id,
        task_run_id=run.id,
        value=run.value,
        definition=node.definition,
        log_level=node.task.log_level,
        dialect=str(facts.plan.flow.dialect) if facts.plan is not None else "2.x",
        sent_at=draft.at,
        **_context(draft, facts, seq, node),
    )
    draft.turn(seq, State.SUBMITTED)
    if record.returned_by is not None:
        draft.put(replace(draft.get(seq), returned_by=None))
    # Later chunks of a loop come after what others sent meanwhile: a wide loop starves nobody.
    rank = min(draft.head.waiting // 100, 100)
    if lane == LANE_DEFAULT:
        own = frozenset({node.id})
        job = successors.with_successor(facts, job, node, lambda after: _context(draft, facts, seq, after, own))
    draft.jobs[seq] = OutgoingJob(lane=lane, rank=rank, job=job)
    draft.update(waiting=draft.head.waiting + 1)


def _context(draft: Draft, facts: Facts, seq: int, node: Node, unknown: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return what a job carries; outputs of tasks that are `unknown` as yet are left out."""
    run = draft.get(seq).run
    reached = reach.of(node, facts)
    context = context_of(draft, facts, run, node)
    roots = reached.roots.union(draft.execution.variables)
    plain = {root: _plain(context, root) for root in roots if root in context and root != "outputs"}
    if "inputs" in plain and facts.plan is not None:
        # Sealed, as they are stored: only a worker opens them, and masks them in what it logs.
        plain["inputs"] = inputs_of(facts.plan.flow, draft.execution.inputs, facts)
    large: list[tuple[tuple[str, ...], str]] = []
    if "outputs" in roots:
        outputs: dict[str, Any] = {}
        names = list(context["outputs"]) if reached.outputs is None else sorted(reached.outputs)
        own = path_of(draft, run) if reached.own else ()
        for name in names:
            if name in unknown:
                continue
            _collect(name, draft, facts, own[: _depth(name, facts)] if name in reached.own else None, outputs, large)
        plain["outputs"] = outputs
    return {"context": plain, "large": tuple(large)}


def _plain(context: LazyContext, root: str) -> Any:
    value = context[root]
    return dict(value) if isinstance(value, Mapping) else value


def _depth(name: str, facts: Facts) -> int | None:
    """Return how many values lead to the outputs of a task, None when that cannot be told from the flow."""
    target = facts.node_of(name)
    if target is None:
        return None
    return sum(1 for above in target.ancestors() if above.kind in (Kind.FOR_EACH, Kind.EACH_PARALLEL))


def _collect(
    name: str,
    draft: Draft,
    facts: Facts,
    path: tuple[str, ...] | None,
    outputs: dict[str, Any],
    large: list[tuple[tuple[str, ...], str]],
) -> None:
    """Put a task's outputs (of one iteration when `path` is given) into the context, large ones by their URI."""
    records = records_of(name, draft, facts, path)
    if not any(record.ref.uri is not None for record in records):
        tree = outputs_tree(name, draft, facts, path)
        if tree is not None:
            outputs[name] = tree
        return
    for record in records:
        if record.ref.uri is not None:
            large.append((("outputs", name, *record.path), record.ref.uri))
        else:
            place = outputs.setdefault(name, {})
            for part in record.path:
                place = place.setdefault(part, {})
            place.update(record.ref.value or {})


def forget_job(draft: Draft, record: RunRecord, node: Node | None) -> None:
    """Count a job that is over: its place among the waiting is free for a stalled flowable."""
    if node is None or node.kind is not Kind.RUNNABLE or record.run.dynamic:
        return
    if record.worker is not None:
        draft.held[record.run.seq] = None
        draft.put(replace(draft.get(record.run.seq), worker=None))
    draft.update(waiting=max(0, draft.head.waiting - 1))
