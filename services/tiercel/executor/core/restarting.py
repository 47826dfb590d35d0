"""
Restart in place: ended task runs are opened again, with their ancestors.

It looks at all task runs of an execution, which are asked for as a fact.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiercel.executor.core import loops
from tiercel.executor.core.context import all_runs
from tiercel.executor.core.draft import Draft, moved, replace
from tiercel.executor.core.ending import decides
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import ROOT, Kind
from tiercel.executor.core.revival import LOST
from tiercel.executor.core.starting import activate
from tiercel.executor.core.updates import merged
from tiercel.model.execution import TaskRun
from tiercel.model.flow import Task
from tiercel.model.live import Branch, Phase, RunRecord
from tiercel.model.state import State
from tiercel.model.system import RESTARTED
from tiercel.plugins.core.flow.choice import If, Switch

OPENED_AGAIN = frozenset({State.FAILED, State.KILLED, State.CANCELLED, State.RETRIED})
"""States whose runs a restart opens again."""


def restart(draft: Draft, facts: Facts) -> bool:
    """Begin to run what failed once more, as the same execution; False when there is nothing to restart."""
    if not draft.execution.state.is_terminated or facts.plan is None:
        return False
    records = {record.run.seq: record for record in all_runs(draft, facts)}
    leaves = to_open(records, other_branches(records, facts))
    prepare(draft, [leaf.run.seq for leaf in leaves])
    draft.change(
        attempt_number=draft.execution.attempt_number + 1,
        labels=merged(draft.execution.labels, [(RESTARTED, "true")]),
    )
    return True


def prepare(draft: Draft, leaves: Iterable[int]) -> None:
    """Bring an execution that is over to where it may be started: what is to be opened is noted."""
    draft.move(State.RESTARTED)
    branch = replace(draft.head.branch, phase=Phase.TASKS, live=0, behind=0)
    draft.update(reopen=tuple(leaves), done=False, branch=branch, kill_requested=False, final=None)


def go_on(draft: Draft, facts: Facts) -> None:
    """Open what a restart has noted, and run it."""
    records = {record.run.seq: record for record in all_runs(draft, facts)}
    removed = other_branches(records, facts)
    leaves = [records[seq] for seq in draft.head.reopen or () if seq in records]
    reopen(draft, facts, records, leaves, removed - {leaf.run.seq for leaf in leaves})
    begin_opened(draft, facts, leaves)


def to_open(records: dict[int, RunRecord], removed: set[int]) -> list[RunRecord]:
    """Return the runs that a restart runs again: those that failed, and not because of one inside them."""
    return [
        record
        for record in records.values()
        if record.run.seq not in removed
        and record.run.state in OPENED_AGAIN
        and not _has_opened_child(record, records, removed)
    ]


def begin_opened(draft: Draft, facts: Facts, leaves: Iterable[RunRecord]) -> None:
    """Run opened task runs again."""
    assert facts.plan is not None
    for record in leaves:
        seq = record.run.seq
        node = facts.plan.nodes.get(record.run.task_id)
        if node is None:
            continue
        if node.kind.has_children and record.branch is not None:
            if node.kind is Kind.LOOP_UNTIL:
                draft.turn(seq, State.RESTARTED)
                loops.begin_until_again(draft, seq)
            elif record.run.state is State.RETRIED:
                draft.turn(seq, State.RESTARTED)
            draft.turn(seq, State.RUNNING)
            draft.ready.append(seq)
        else:
            draft.turn(seq, State.RESTARTED)
            activate(draft, facts, seq, node)
    draft.ready.append(ROOT)


def other_branches(records: dict[int, RunRecord], facts: Facts) -> set[int]:
    """Return the runs of error, finally and after lists, with everything below them: they are run anew."""
    assert facts.plan is not None
    removed: set[int] = set()
    for seq in sorted(records):
        run = records[seq].run
        node = facts.plan.nodes.get(run.task_id)
        job = job_of(records[seq], records, facts)
        inside_job = job is not None and job.run.state in OPENED_AGAIN
        if run.parent in removed or (node is not None and not decides(node)) or inside_job:
            removed.add(seq)
        if node is not None and node.branch.startswith("listener."):
            removed.add(seq)
    return removed


def job_of(record: RunRecord, records: dict[int, RunRecord], facts: Facts) -> RunRecord | None:
    """Return the run of the job as a part of which a worker ran it; None when it had a job of its own."""
    assert facts.plan is not None
    above = records.get(record.run.parent) if record.run.parent is not None else None
    node = facts.plan.nodes.get(above.run.task_id) if above is not None else None
    return above if node is not None and node.kind is Kind.RUNNABLE else None


def _has_opened_child(record: RunRecord, records: dict[int, RunRecord], removed: set[int]) -> bool:
    seq = record.run.seq
    return any(
        other.run.parent == seq and other.run.state in OPENED_AGAIN
        for other in records.values()
        if other.run.seq not in removed
    )


def reopen(
    draft: Draft, facts: Facts, records: dict[int, RunRecord], leaves: Iterable[RunRecord], removed: set[int]
) -> None:
    """Open leaves and their ancestors, give every opened parent its counters anew, drop what is run anew."""
    opened: set[int] = set()
    for leaf in leaves:
        opened.add(leaf.run.seq)
        above = leaf.run.parent
        while above is not None and above not in opened:
            opened.add(above)
            above = records[above].run.parent
    draft.change(generation=draft.execution.generation + 1, error=None, outputs=None)
    draft.move(State.RESTARTED)
    draft.move(State.RUNNING)
    draft.update(done=False, kill_requested=False, final=None, paused=0, retrying=0, waiting=0, stalled=(), reopen=None)
    draft.removed.extend(sorted(removed))
    draft.removed_outputs.extend(sorted(removed))
    leaf_seqs = {leaf.run.seq for leaf in leaves}
    for seq in sorted(opened):
        record = records[seq]
        run = record.run if seq in leaf_seqs else _moved_on(record.run, facts, draft.at)
        draft.put(replace(record, run=run, folded=False, worker=None, generation=draft.execution.generation))
    for seq in opened:
        if records[seq].branch is not None and not _is_loop(records[seq], facts):
            draft.set_branch(seq, _recounted(draft, facts, records, seq, opened, removed))
    draft.set_branch(ROOT, _recounted(draft, facts, records, ROOT, opened, removed))


def _moved_on(run: TaskRun, facts: Facts, at: datetime) -> TaskRun:
    """Return an ancestor that runs again; the history of a LoopUntil tells since when its `maxDuration` counts."""
    assert facts.plan is not None
    node = facts.plan.nodes.get(run.task_id)
    if node is not None and node.kind is Kind.LOOP_UNTIL:
        run = moved(run, State.RESTARTED, at)
    return moved(run, State.RUNNING, at)


def _is_loop(record: RunRecord, facts: Facts) -> bool:
    """Tell whether a run's children are executions, which it counts itself."""
    assert facts.plan is not None
    node = facts.plan.nodes.get(record.run.task_id)
    return node is not None and node.kind.iterates


def _recounted(
    draft: Draft, facts: Facts, records: dict[int, RunRecord], seq: int, opened: set[int], removed: set[int]
) -> Branch:
    """Return the counters of a parent whose opened children are live again."""
    assert facts.plan is not None
    above = None if seq == ROOT else seq
    children = [
        record.run for record in records.values() if record.run.parent == above and record.run.seq not in removed
    ]
    live = [run for run in children if run.seq in opened]
    ended = [run for run in children if run.seq not in opened]
    old = draft.head.branch if seq == ROOT else draft.branch(seq)
    if seq == ROOT:
        total, name = len(facts.plan.branches["tasks"]), "tasks"
    else:
        node = facts.plan.nodes[records[seq].run.task_id]
        name = _list_name(node.task, children, facts) or old.name
        total = old.total if old.phase is Phase.TASKS else _total(old, node.branches.get(name, ()), node.kind)
    started = _started(children, seq, facts, records)
    if old.data.get(LOST):
        total, values = loops.keep_values(draft, facts, seq, facts.plan.nodes[records[seq].run.task_id])
        old = replace(old, data={**{key: value for key, value in old.data.items() if key != LOST}, **values})
    if seq != ROOT and node.kind is Kind.LOOP_UNTIL:
        old = replace(old, data={**old.data, **loops.until_begins(draft.at)})
    return replace(
        old,
        phase=Phase.TASKS,
        name=name,
        total=total,
        next=started,
        live=len(live),
        ended=len(ended),
        behind=0,
        failed=sum(1 for run in ended if run.state is State.FAILED),
        warned=sum(1 for run in ended if run.state is State.WARNING),
        killed=0,
        done=tuple(run.task_id for run in ended),
        data={key: value for key, value in old.data.items() if key not in ("decided", "waits", "expired", "held")},
    )


def _total(old: Branch, nodes: tuple[object, ...], kind: Kind) -> int:
    values = len(old.data.get("values", ()))
    if kind is Kind.FOR_EACH and values:
        return values
    return len(nodes)


def _list_name(task: Task, children: list[TaskRun], facts: Facts) -> str | None:
    if not isinstance(task, If | Switch) or not children or facts.plan is None:
        return None
    node = facts.plan.nodes.get(children[0].task_id)
    return node.branch if node is not None else None


def _started(children: list[TaskRun], seq: int, facts: Facts, records: dict[int, RunRecord]) -> int:
    """Return how many places of the list have been started: groups for a ForEach, tasks for all others."""
    assert facts.plan is not None
    node = facts.plan.nodes.get(records[seq].run.task_id) if seq != ROOT else None
    if node is not None and node.kind is Kind.FOR_EACH:
        return len({run.iteration for run in children})
    return len(children)
