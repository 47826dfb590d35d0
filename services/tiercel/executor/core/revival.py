"""
An execution that the state store has forgotten, made again from what history knows of it.

History keeps executions, task runs and outputs, and none of the counters with which the executor works. They are
counted again from the task runs, so that a restart or a replay goes on as it would have within the hour after the end.
What cannot be counted is found in another way: values of a ForEach are rendered again, and a Loop whose iterations are
unknown by now begins anew, with iterations of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tiercel.executor.core import approving
from tiercel.executor.core.ending import decides
from tiercel.executor.core.plan import FlowPlan, Kind, Node
from tiercel.model import ids
from tiercel.model.execution import Execution, OutputRef, TaskRun
from tiercel.model.live import Branch, HeadRecord, OutputRecord, RunRecord
from tiercel.model.state import State

LOST: Final = "lost"
"""In the counters of a ForEach: its values are to be rendered again when it is opened."""
_BAD: Final = frozenset({State.FAILED, State.KILLED, State.CANCELLED})


def revive(
    execution: Execution, runs: Sequence[TaskRun], outputs: Mapping[int, OutputRef], plan: FlowPlan | None
) -> tuple[HeadRecord, list[RunRecord], list[OutputRecord]]:
    """Return the records of a terminated execution, as the executor would have left them."""
    known = {run.seq: run for run in runs}
    children: dict[int | None, list[TaskRun]] = defaultdict(list)
    for run in runs:
        children[run.parent].append(run)
    head = HeadRecord(
        execution=execution,
        branch=_counted(children[None], len(plan.branches["tasks"]) if plan is not None else 0, plan),
        next_seq=max(known, default=-1) + 1,
        done=True,
    )
    records = [
        _record(run, execution, children[run.seq], outputs.get(run.seq), plan)
        for run in sorted(runs, key=lambda run: run.seq)
    ]
    kept = [
        OutputRecord(seq=seq, task_id=known[seq].task_id, ref=ref, path=_path(known[seq], known))
        for seq, ref in sorted(outputs.items())
        if seq in known
    ]
    return head, records, kept


def _record(
    run: TaskRun, execution: Execution, children: list[TaskRun], output: OutputRef | None, plan: FlowPlan | None
) -> RunRecord:
    node = plan.nodes.get(run.task_id) if plan is not None else None
    branch = child_id = None
    if node is not None and node.kind.has_children and children:
        branch = _branch(run, node, children, plan)
    elif node is not None and node.kind is Kind.SUBFLOW and output is not None:
        child_id = (output.value or {}).get("executionId")
    elif node is not None and node.kind.iterates and run.state in _BAD:
        # Ids of iterations come from the id of their loop: with another one they are not those of before.
        run = msgspec.structs.replace(run, id=ids.derived_id(run.history[0].date, run.id, execution.generation))
    return RunRecord(run=run, branch=branch, folded=True, child_id=child_id, generation=execution.generation)


def _branch(run: TaskRun, node: Node, children: list[TaskRun], plan: FlowPlan | None) -> Branch:
    name, data = "tasks", dict[str, Any]()
    own = [child for child in children if _is_task(child, plan)]
    if node.kind is Kind.CHOICE and own:
        first = plan.nodes.get(own[0].task_id) if plan is not None else None
        name = first.branch if first is not None else name
    elif node.kind in (Kind.FOR_EACH, Kind.EACH_PARALLEL):
        data = {LOST: True, "pending": _pending(own, node)}
    elif node.kind is Kind.DAG:
        data = {"started": [child.task_id for child in own]}
    elif node.kind is Kind.LOOP_UNTIL:
        data = {"started": run.history[0].date.isoformat()}
    elif node.kind is Kind.PAUSE:
        data = {"resumed": True}
    elif node.kind is Kind.APPROVAL and own:
        last = plan.nodes.get(own[-1].task_id) if plan is not None else None
        name = last.branch if last is not None else name
        data = approving.revived(name)
        children = [child for child in own if plan is not None and plan.nodes[child.task_id].branch == name]
    counted = _counted(children, len(node.branches.get(name, ())), plan)
    return msgspec.structs.replace(counted, name=name, data=data, iteration=max(1, run.iteration or 1))


def _counted(children: Iterable[TaskRun], total: int, plan: FlowPlan | None) -> Branch:
    own = [child for child in children if _is_task(child, plan)]
    return Branch(
        total=total,
        next=len(own),
        ended=len(own),
        failed=sum(child.state is State.FAILED for child in own),
        warned=sum(child.state is State.WARNING for child in own),
        killed=sum(child.state in (State.KILLED, State.CANCELLED) for child in own),
        done=tuple(child.task_id for child in own),
    )


def _is_task(run: TaskRun, plan: FlowPlan | None) -> bool:
    node = plan.nodes.get(run.task_id) if plan is not None else None
    return decides(node) and not (node is not None and node.branch.startswith("listener."))


def _pending(children: Iterable[TaskRun], node: Node) -> list[tuple[int, int | None, str | None]]:
    """Return the values of a ForEach whose next task was due: where in the list, and which value."""
    places = {task.id: place for place, task in enumerate(node.branches.get("tasks", ()))}
    last: dict[int | None, TaskRun] = {}
    for child in children:
        before = last.get(child.iteration)
        if child.task_id in places and (before is None or places[before.task_id] < places[child.task_id]):
            last[child.iteration] = child
    return [
        (places[child.task_id] + 1, child.iteration, child.value)
        for child in last.values()
        if child.state not in _BAD and places[child.task_id] + 1 < len(places)
    ]


def _path(run: TaskRun, known: Mapping[int, TaskRun]) -> tuple[str, ...]:
    values: list[str] = []
    above: TaskRun | None = run
    while above is not None:
        if above.value is not None:
            values.append(above.value)
        above = known.get(above.parent) if above.parent is not None else None
    return tuple(reversed(values))
