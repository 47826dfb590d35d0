"""Task runs whose state is another than it seemed: set by hand, or because the child that they ran was corrected."""

from __future__ import annotations

from tiercel.executor.core import pausing, subflow
from tiercel.executor.core.context import all_runs
from tiercel.executor.core.draft import Draft, moved, replace
from tiercel.executor.core.ending import allowed, count_end, end_attempt, set_outputs
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.jobs import forget_job
from tiercel.executor.core.plan import ROOT, Node
from tiercel.executor.core.restarting import job_of, other_branches, reopen
from tiercel.messages.execution_event import ChildEnded, TaskRunStateRequested
from tiercel.model.live import RunRecord
from tiercel.model.state import State
from tiercel.plugins.core.flow.subflow import Subflow


def set_task_run_state(draft: Draft, facts: Facts, event: TaskRunStateRequested) -> None:
    """Set one ended task run to another state, and go on from there."""
    if facts.plan is None:
        return
    records = {record.run.seq: record for record in all_runs(draft, facts)}
    target = next((record for record in records.values() if record.run.id == event.task_run_id), None)
    if target is None:
        return
    node = facts.plan.nodes.get(target.run.task_id)
    if not draft.execution.state.is_terminated:
        _set_live(draft, target, event.state, node)
        return
    _end_otherwise(draft, facts, records, target, event.state)


def child_corrected(draft: Draft, facts: Facts, event: ChildEnded) -> None:
    """A child whose failure this execution has ended with was corrected by hand: go on after the task that ran it."""
    over = draft.head.done and draft.execution.state in (State.FAILED, State.WARNING)
    if not over or facts.plan is None or event.iteration is not None:
        return
    records = {record.run.seq: record for record in all_runs(draft, facts)}
    target = records.get(event.seq)
    node = facts.plan.nodes.get(target.run.task_id) if target is not None else None
    if target is None or target.child_id != event.child_id or node is None or not isinstance(node.task, Subflow):
        return
    state = allowed(subflow.final_state(node.task, event.state), node)
    if target.run.state not in (State.FAILED, State.WARNING) or state in (target.run.state, State.FAILED, State.KILLED):
        return
    _end_otherwise(draft, facts, records, target, state)
    set_outputs(draft, event.seq, subflow.outputs_of(event))


def _end_otherwise(draft: Draft, facts: Facts, records: dict[int, RunRecord], target: RunRecord, state: State) -> None:
    """Open an execution that has ended again, one of whose task runs has ended in another state than it seemed."""
    assert facts.plan is not None
    run = moved(target.run, state, draft.at)
    attempts = run.attempts
    if attempts:
        attempts = (*attempts[:-1], replace(attempts[-1], state=state))
    run = replace(run, attempts=attempts)
    removed = other_branches(records, facts)
    if run.seq in removed or job_of(target, records, facts) is not None:
        # It decides nothing: what was run around it has ended as it did.
        draft.put(replace(target, run=run))
        return
    reopen(draft, facts, records, [target], removed)
    draft.change(attempt_number=draft.execution.attempt_number + 1)
    draft.put(replace(draft.get(run.seq), run=run))
    count_end(draft, draft.get(run.seq).run, facts.plan.nodes.get(run.task_id))
    draft.ready.append(ROOT)


def _set_live(draft: Draft, target: RunRecord, state: State, node: Node | None) -> None:
    """Set a task run of an execution that is not over: a paused one goes on, or ends as it is told."""
    live = draft.run(target.run.seq)
    if live is None or live.run.state not in (State.PAUSED, State.RUNNING, State.RETRYING):
        return
    seq = target.run.seq
    if live.run.state is State.PAUSED:
        pausing.release(draft, seq, None, None)
        if not draft.head.paused:
            draft.move(State.RESTARTED)
            draft.move(State.RUNNING)
    if state is not State.RUNNING and draft.turn(seq, state):
        record = draft.get(seq)
        draft.put(replace(record, run=end_attempt(record.run, state, draft.at)))
        forget_job(draft, live, node)
        count_end(draft, draft.get(seq).run, node)
