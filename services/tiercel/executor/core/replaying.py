"""
Executions that follow another one: replays and restarts with another revision, and the new try of a retry.

The original decides what is taken over, because it alone knows its task runs; the new execution opens what is run
again.
"""

from __future__ import annotations

from tiercel.errors import FlowAuthorError
from tiercel.executor.core.context import all_runs
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.finishing import after_done
from tiercel.executor.core.plan import Kind, Node
from tiercel.executor.core.restarting import job_of, other_branches, to_open
from tiercel.executor.core.updates import merged
from tiercel.messages.execution_event import CreateExecution, KillRequested, ReplayRequested
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model import ids
from tiercel.model.execution import Execution
from tiercel.model.live import RunRecord, TimerKind
from tiercel.model.state import State
from tiercel.model.system import REPLAY, REPLAYED, RESTARTED
from tiercel.plugins.core.flow.each import ForEach
from tiercel.queue.base import Outgoing


def retry_execution(draft: Draft) -> None:
    """Create the execution that tries a RETRIED one again."""
    old = draft.execution
    if not old.state.is_terminated:
        return
    new_id = retry_id(old)
    follow = replace(_following(draft, new_id), parent=old.parent, attempt_number=old.attempt_number + 1)
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=new_id, message=follow))


def retry_id(old: Execution) -> str:
    """Return the id of the execution that tries a RETRIED one again."""
    retried = next(change.date for change in reversed(old.history) if change.state is State.RETRIED)
    return ids.derived_id(retried, old.id, "retry", old.attempt_number)


def kill_retry(draft: Draft, event: KillRequested) -> None:
    """Kill what goes on in place of a RETRIED execution: the one that tries it again, or the wait for it."""
    old = draft.execution
    if (int(TimerKind.FLOW_RETRY), 0) in draft.head.timers:
        draft.clear_timer(TimerKind.FLOW_RETRY, 0)
        draft.move(State.KILLED)
        after_done(draft)
        return
    again = replace(event, execution_id=retry_id(old))
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=again.execution_id, message=again))


def replay(draft: Draft, facts: Facts, event: ReplayRequested) -> None:
    """Create the execution that runs this one again."""
    old = draft.execution
    follow = _following(draft, event.new_id)
    if event.revision is not None:
        follow = replace(follow, flow_revision=event.revision)
    if event.inputs is not None:
        follow = replace(follow, inputs=event.inputs)
    if event.breakpoints:
        follow = replace(follow, breakpoints=event.breakpoints)
    labels = list(event.labels)
    if not event.restart:
        labels.append((REPLAY, "true"))
        draft.change(labels=merged(old.labels, [(REPLAYED, "true")]))
    else:
        labels.append((RESTARTED, "true"))
    follow = replace(follow, labels=merged(old.labels, labels))
    if event.task_run_id is not None or event.restart:
        follow = _with_runs(draft, facts, event, follow)
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=event.new_id, message=follow))


def _following(draft: Draft, new_id: str) -> CreateExecution:
    old = draft.execution
    return CreateExecution(
        execution_id=new_id,
        at=draft.at,
        tenant_id=old.tenant_id,
        namespace=old.namespace,
        flow_id=old.flow_id,
        flow_revision=old.flow_revision,
        inputs=old.inputs,
        labels=old.labels,
        variables=old.variables,
        unset_variables=old.unset_variables,
        trigger=old.trigger,
        parent_id=old.id,
        original_id=old.original_id or old.id,
        original_created=old.original_created or old.history[0].date,
        kind=old.kind,
        loop_run=old.loop_run,
        fixtures=old.fixtures,
    )


def _with_runs(draft: Draft, facts: Facts, event: ReplayRequested, follow: CreateExecution) -> CreateExecution:
    """Add the task runs that are taken over, and say which of them are run again."""
    records = {record.run.seq: record for record in all_runs(draft, facts)}
    removed = other_branches(records, facts)
    if event.restart:
        targets = [record.run.seq for record in to_open(records, removed)]
    else:
        target = next((record for record in records.values() if record.run.id == event.task_run_id), None)
        if target is None:
            raise FlowAuthorError(f"Task run id '{event.task_run_id}' not found in execution '{draft.execution.id}'.")
        target = job_of(target, records, facts) or target
        targets = [target.run.seq]
        removed |= _after(target, records, facts)
    kept = [record for seq, record in sorted(records.items()) if seq not in removed]
    history = draft.execution.history
    outputs = facts.ask("all_outputs") if facts.outputs is not None else ()
    return replace(
        follow,
        attempt_number=draft.execution.attempt_number + 1,
        copied_runs=tuple(_copied(record, event.new_id) for record in kept),
        copied_outputs=tuple(record for record in outputs if record.seq not in removed and record.seq not in targets),
        copied_history=history,
        reopened=tuple(targets),
    )


def _copied(record: RunRecord, new_id: str) -> RunRecord:
    run = record.run
    new = ids.derived_id(run.history[0].date, new_id, run.id)
    return replace(record, run=replace(run, id=new), worker=None, child_id=None, folded=True)


def _after(target: RunRecord, records: dict[int, RunRecord], facts: Facts) -> set[int]:
    """Return the runs that come after the target in the flow, and everything below it and them."""
    assert facts.plan is not None
    removed: set[int] = set()
    below = target
    while True:
        node = facts.plan.nodes.get(below.run.task_id)
        siblings = [each for each in records.values() if each.run.parent == below.run.parent and each is not below]
        removed.update(
            each.run.seq
            for each in siblings
            if node is not None and each.run.task_id in facts.plan.nodes and _follows(node, below, each)
        )
        if below.run.parent is None:
            break
        below = records[below.run.parent]
    for seq in sorted(records):
        parent = records[seq].run.parent
        if parent in removed or parent == target.run.seq:
            removed.add(seq)
    return removed


def _follows(node: Node, record: RunRecord, sibling: RunRecord) -> bool:
    """Tell whether a sibling is run after this run."""
    parent = node.parent
    if parent is not None and parent.kind in (Kind.PARALLEL, Kind.EACH_PARALLEL):
        return False
    side_by_side = parent is not None and isinstance(parent.task, ForEach) and parent.task.concurrency_limit != 1
    if side_by_side and sibling.run.value != record.run.value:
        return False
    return sibling.run.seq > record.run.seq
