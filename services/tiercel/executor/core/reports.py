"""What workers, children and timers report of a task run, and what becomes of it."""

from __future__ import annotations

from tiercel.errors import FlowAuthorError
from tiercel.executor.core import correcting, foreach_item, iterations, jobs, loops, retrying, subflow
from tiercel.executor.core.claims import checked_in
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import allowed, begin_attempt, count_end, end_attempt, fold, keep_outputs
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.killing import end_killed, killed_as
from tiercel.executor.core.plan import Kind, Node
from tiercel.executor.core.starting import activate, fail, send_again
from tiercel.messages.broadcast import KillRun
from tiercel.messages.execution_event import (
    ChildEnded,
    ChildRunReported,
    JobRefused,
    JobReturned,
    TaskFinished,
    TaskStarted,
    WorkerLost,
)
from tiercel.messages.topics import BROADCAST
from tiercel.model import ids
from tiercel.model.execution import TaskRun
from tiercel.model.live import Branch, RunRecord
from tiercel.model.state import State, StateChange
from tiercel.plugins.core.flow.subflow import Subflow
from tiercel.plugins.core.flow.workingdirectory import WorkingDirectory
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Held

RESUBMITS_MAX = 3
"""How often a task run is given to another worker because its worker was lost."""
RETURNS_MAX = 8
"""Returns of a job that are remembered: what is told again comes soon after it was told first."""


def started(draft: Draft, facts: Facts, event: TaskStarted) -> None:
    """A worker has the job: it runs, or is told to kill it when nobody wants it any more."""
    record = draft.run(event.seq)
    run = record.run if record is not None else None
    if record is None or run is None or run.attempt + 1 != event.attempt or run.state is not State.SUBMITTED:
        repeated = record is not None and record.worker == event.worker and record.run.attempt == event.attempt
        if not repeated:
            kill = KillRun(execution_id=event.execution_id, seq=event.seq, attempt=event.attempt, worker=event.worker)
            draft.messages.append(Outgoing(topic=BROADCAST, key="", message=kill))
        return
    if record.returned_by == event.worker:
        node = facts.node_of(record.run.task_id)
        if node is not None:
            _submit_again(draft, facts, record, node)
        return
    draft.turn(event.seq, State.RUNNING)
    _begin(draft, facts, event.seq, event.worker)
    draft.held[event.seq] = Held(
        execution_id=event.execution_id, seq=event.seq, attempt=event.attempt, worker=event.worker
    )


def _begin(draft: Draft, facts: Facts, seq: int, worker: str) -> RunRecord:
    """Note that a worker runs the job of a task run."""
    record = draft.get(seq)
    run = begin_attempt(record.run, draft.at, worker)
    node = facts.node_of(record.run.task_id)
    if node is not None and isinstance(node.task, WorkingDirectory):
        # To a flow it is a flowable: that it is sent to a worker as a whole shows nowhere.
        run = replace(run, history=tuple(change for change in run.history if change.state is not State.SUBMITTED))
    record = replace(record, run=run, worker=worker)
    draft.put(record)
    return record


def finished(draft: Draft, facts: Facts, event: TaskFinished) -> None:
    """A worker has run the job: the run ends, or is tried again."""
    record = draft.run(event.seq)
    if record is None or record.folded or record.run.state.is_terminated:
        return
    node = facts.node_of(record.run.task_id)
    if record.run.state is State.SUBMITTED and record.run.attempt + 1 == event.attempt:
        draft.turn(event.seq, State.RUNNING)
        record = _begin(draft, facts, event.seq, event.worker)
    if record.run.attempt != event.attempt or record.run.state not in (State.RUNNING, State.KILLING) or node is None:
        return
    if record.worker is None:
        return  # told by a worker that was given up: the run waits to be sent to another
    state = killed_as(draft, event.seq) if event.state is State.KILLED else event.state
    run = end_attempt(record.run, state, draft.at, event.log_file)
    run = keep_outputs(draft, run, event.outputs)
    draft.put(replace(draft.get(event.seq), run=replace(run, error=event.error) if event.error else run))
    jobs.forget_job(draft, record, node)
    if state is State.FAILED and retrying.retry(draft, facts, event.seq, node):
        return
    if state is State.SUCCESS and retrying.is_warned(node, run):
        state = State.WARNING
    _end(draft, event.seq, node, state)


def _end(draft: Draft, seq: int, node: Node, state: State) -> None:
    if _goes_on(draft, seq, node, state):
        return
    if draft.turn(seq, allowed(state, node)):
        count_end(draft, draft.get(seq).run, node)


def _goes_on(draft: Draft, seq: int, node: Node, state: State) -> bool:
    """Begin what follows a job that is a flowable too (WorkingDirectory): its errors and finally lists."""
    follows = bool(node.branches.get("finally")) or (state is State.FAILED and bool(node.branches.get("errors")))
    if not follows or node.kind is not Kind.RUNNABLE or draft.head.kill_requested:
        return False
    branch = Branch(name="", failed=int(state is State.FAILED), warned=int(state is State.WARNING))
    draft.set_branch(seq, branch)
    draft.ready.append(seq)
    return True


def child_run(draft: Draft, facts: Facts, event: ChildRunReported) -> None:
    """A job tells of a task that it runs inside (WorkingDirectory), or of a dynamic run."""
    job = draft.run(event.seq)
    if job is None or job.run.attempt != event.attempt or job.worker is None:
        return
    found = next(
        (
            record
            for record in draft.live_runs()
            if record.run.parent == event.seq
            and record.run.task_id == event.task_id
            and (not event.dynamic or record.run.value == event.value)
        ),
        None,
    )
    if found is None:
        found = _new_child(draft, event)
    seq = found.run.seq
    if event.state is State.RUNNING:
        if found.run.state is State.RETRYING:
            draft.turn(seq, State.CREATED)
        if draft.turn(seq, State.RUNNING):
            record = draft.get(seq)
            draft.put(replace(record, run=begin_attempt(record.run, draft.at, event.worker)))
        return
    draft.turn(seq, State.RUNNING)
    record = draft.get(seq)
    tries_again = event.state is State.RETRYING
    ended = end_attempt(record.run, State.FAILED if tries_again else event.state, draft.at)
    run = keep_outputs(draft, ended, event.outputs)
    draft.put(replace(record, run=replace(run, error=event.error) if event.error else run))
    if tries_again:
        draft.turn(seq, State.FAILED)
        draft.turn(seq, State.RETRYING)
        return
    node = facts.node_of(record.run.task_id)
    failed = event.state is State.FAILED and not event.dynamic
    if failed and node is not None and _retry_execution(draft, facts, job, seq, node):
        return
    if draft.turn(seq, allowed(event.state, node) if node is not None else event.state):
        fold(draft, seq)


def _retry_execution(draft: Draft, facts: Facts, job: RunRecord, seq: int, node: Node) -> bool:
    """Arrange a new execution for a task that failed inside a job, which is of no use any more; False without one."""
    if not retrying.renews(node, facts) or not retrying.retry(draft, facts, seq, node):
        return False
    jobs.forget_job(draft, job, facts.node_of(job.run.task_id))
    ended = draft.get(job.run.seq)
    draft.put(replace(ended, run=end_attempt(ended.run, State.FAILED, draft.at)))
    kill = KillRun(execution_id=draft.execution.id, runs=((job.run.seq, job.run.attempt),))
    draft.messages.append(Outgoing(topic=BROADCAST, key="", message=kill))
    return True


def _new_child(draft: Draft, event: ChildRunReported) -> RunRecord:
    head = draft.head
    execution = head.execution
    derived = ids.derived_id(
        draft.at, execution.id, execution.generation, event.seq, event.attempt, event.task_id, event.value or ""
    )
    run = TaskRun(
        id=event.task_run_id or derived,
        seq=head.next_seq,
        task_id=event.task_id,
        parent=event.seq,
        value=event.value if event.dynamic else None,
        state=State.CREATED,
        history=(StateChange(State.CREATED, draft.at),),
        dynamic=event.dynamic,
    )
    draft.update(next_seq=head.next_seq + 1)
    record = RunRecord(run=run, generation=execution.generation)
    draft.add(record)
    return record


def lost(draft: Draft, facts: Facts, event: WorkerLost) -> None:
    """A worker is gone: what it held is given to another, at most so often."""
    record = draft.run(event.seq)
    if record is None or record.run.attempt != event.attempt or record.worker != event.worker:
        return
    node = facts.node_of(record.run.task_id)
    if node is None:
        return
    for child in list(draft.live_runs()):
        if child.run.parent == event.seq:
            draft.put(replace(child, run=end_attempt(child.run, State.RESUBMITTED, draft.at)))
            draft.turn(child.run.seq, State.KILLED)
            fold(draft, child.run.seq)
    run = end_attempt(record.run, State.RESUBMITTED, draft.at)
    draft.put(replace(draft.get(event.seq), run=run))
    jobs.forget_job(draft, record, node)
    if record.run.state is State.KILLING:
        _end(draft, event.seq, node, State.KILLED)
    elif record.resubmits >= RESUBMITS_MAX:
        reason = f"Its workers were lost {record.resubmits + 1} times; it is not run again."
        draft.log("ERROR", reason, run)
        draft.put(replace(draft.get(event.seq), run=replace(run, error=reason)))
        _end(draft, event.seq, node, State.FAILED)
    else:
        draft.log("WARN", f"Worker '{event.worker}' was lost; the task is run again.", run)
        draft.put(replace(draft.get(event.seq), resubmits=record.resubmits + 1))
        send_again(draft, facts, event.seq, node)


def returned(draft: Draft, facts: Facts, event: JobReturned) -> None:
    """
    A worker did not start the job: another gets it, as the same attempt.

    That the worker has it may be told later than that it no longer has it: they come from different senders. Then the
    return is noted, and counts when the start is told; a second job before that would be taken for the first.
    A worker that hears no answer tells its return again. It may have the job once more by then, and run it: what was
    told before changes nothing.
    """
    record = draft.run(event.seq)
    node = facts.node_of(record.run.task_id) if record is not None else None
    told = (event.worker, event.at)
    if record is None or node is None or told in record.returns:
        return
    record = replace(record, returns=(*record.returns[1 - RETURNS_MAX :], told))
    run = record.run
    if run.state is State.SUBMITTED and run.attempt + 1 == event.attempt:
        draft.put(replace(record, returned_by=event.worker))
    elif run.attempt == event.attempt and record.worker == event.worker:
        if run.state is State.RUNNING:
            draft.put(replace(record, run=replace(run, attempts=run.attempts[:-1])))
            _submit_again(draft, facts, draft.get(event.seq), node)
        elif run.state is State.KILLING:
            end_killed(draft, event.seq, node)


def _submit_again(draft: Draft, facts: Facts, record: RunRecord, node: Node) -> None:
    """Give a job that its worker has not started to another."""
    jobs.forget_job(draft, record, node)
    send_again(draft, facts, record.run.seq, node)


def refused(draft: Draft, facts: Facts, event: JobRefused) -> None:
    """No worker can read the job: its task run fails with the reason."""
    record = draft.run(event.seq)
    node = facts.node_of(record.run.task_id) if record is not None else None
    if record is None or node is None:
        return
    state = record.run.state
    by_worker = event.attempt is not None
    if by_worker and record.run.attempt + (state is State.SUBMITTED) != event.attempt:
        return
    if by_worker and state is State.KILLING:
        end_killed(draft, event.seq, node)
    elif state is State.SUBMITTED or (by_worker and state is State.RUNNING):
        jobs.forget_job(draft, record, node)
        fail(draft, facts, event.seq, node, event.reason)


def child_ended(draft: Draft, facts: Facts, event: ChildEnded) -> None:
    """A child execution has ended: so does the task run that waits for it."""
    record = draft.run(event.seq)
    if record is None or record.run.state.is_terminated:
        correcting.child_corrected(draft, facts, event)
        return
    node = facts.node_of(record.run.task_id)
    if node is not None and node.kind.iterates:
        count = iterations.child_ended if node.kind is Kind.LOOP else foreach_item.child_ended
        try:
            count(draft, facts, event, node)
        except FlowAuthorError as error:
            fail(draft, facts, event.seq, node, str(error))
        return
    if record.child_id not in (event.child_id, event.original_id):
        return
    if node is None or not isinstance(node.task, Subflow):
        return
    try:
        found = subflow.extracted(draft, facts, event.seq, node, event)
    except FlowAuthorError as error:
        fail(draft, facts, event.seq, node, str(error))
        return
    outputs = subflow.outputs_of(event, found)
    ref = checked_in(draft, facts, record.run, f"outputs-{record.run.attempt}", outputs)
    run = keep_outputs(draft, draft.get(event.seq).run, ref)
    draft.put(replace(draft.get(event.seq), run=run, child_id=event.child_id))
    if record.run.state is State.KILLING:
        state = State.KILLED if event.state is State.KILLED else event.state
    else:
        state = subflow.final_state(node.task, event.state)
    subflow.tell_end(draft, facts, record.run, node, event, state)
    record = draft.get(event.seq)
    draft.put(replace(record, run=end_attempt(record.run, state, draft.at)))
    if state is State.FAILED and retrying.retry(draft, facts, event.seq, node):
        return
    _end(draft, event.seq, node, state)


def retry_due(draft: Draft, facts: Facts, seq: int) -> None:
    """The time of a retry has come."""
    record = draft.run(seq)
    if record is None or record.run.state is not State.RETRYING:
        return
    node = facts.node_of(record.run.task_id)
    if node is None:
        return
    draft.update(retrying=max(0, draft.head.retrying - 1))
    if not draft.head.retrying and draft.execution.state is State.RETRYING:
        draft.move(State.RUNNING)
    draft.turn(seq, State.CREATED)
    if record.run.parent is not None and retrying.may_be_held(node):
        loops.forget_further(draft, facts, record.run.parent)
    if node.kind is Kind.RUNNABLE or node.kind is Kind.SUBFLOW:
        activate(draft, facts, seq, node, passes=True)
    elif node.kind.has_children:
        loops.forget_children(draft, facts, seq)
        activate(draft, facts, seq, node, passes=True)
    else:
        fail(draft, facts, seq, node, f"Tasks of type '{node.task.type}' cannot be tried again.")
