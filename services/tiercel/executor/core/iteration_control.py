"""
What reaches into the iterations of a Loop from outside: pauses, resumes, kills and deletions go down, pauses come up.

An iteration is an execution of its own; the loop that it belongs to knows it by its index alone.
"""

from __future__ import annotations

from typing import Any

from tiercel.executor.core import intervals
from tiercel.executor.core.aggregate import Aggregate
from tiercel.executor.core.context import all_runs
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Kind, Node
from tiercel.messages.execution_event import (
    ContinueRequested,
    DeleteRequested,
    IterationPaused,
    KillRequested,
    ResumeRequested,
)
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model import ids
from tiercel.model.execution import ExecutionKind, TaskRun
from tiercel.model.live import RunRecord
from tiercel.model.state import State
from tiercel.queue.base import Outgoing


def child_id(run: TaskRun, index: int) -> str:
    """Return the id of an iteration's execution; those of a loop sort by their indices."""
    return ids.numbered_id(run.history[0].date, index, run.id, "iteration")


def go_on_later(draft: Draft, seq: int) -> None:
    """Have the execution send itself an event to go on with a loop."""
    execution_id = draft.execution.id
    if not any(isinstance(sent.message, ContinueRequested) and sent.message.seq == seq for sent in draft.messages):
        message = ContinueRequested(execution_id=execution_id, at=draft.at, seq=seq)
        draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=execution_id, message=message))


def send(draft: Draft, message: Any) -> None:
    """Send an event to the execution that it names."""
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=message.execution_id, message=message))


def paused(draft: Draft, event: IterationPaused) -> None:
    """An iteration has paused, or goes on: so does the loop, and its execution."""
    record = draft.run(event.seq)
    if record is None or record.branch is None or record.folded or record.run.state.is_terminated:
        return
    if not event.paused:
        resumed(draft, event.seq, event.iteration)
        return
    branch = record.branch
    if intervals.has(branch.data.get("ended", []), event.iteration) or draft.head.kill_requested:
        return
    data = {**branch.data, "paused": intervals.add(branch.data.get("paused", []), event.iteration)}
    draft.set_branch(event.seq, replace(branch, data=data))
    if draft.turn(event.seq, State.PAUSED):
        draft.update(paused=draft.head.paused + 1)
        draft.move(State.PAUSED)


def resumed(draft: Draft, seq: int, index: int) -> None:
    """Note that an iteration is not paused; the loop goes on when none is."""
    branch = draft.branch(seq)
    data = branch.data
    if not intervals.has(data.get("paused", []), index):
        return
    left = intervals.remove(data["paused"], index)
    draft.set_branch(seq, replace(branch, data={**data, "paused": left}))
    if not left:
        wake(draft, seq)


def wake(draft: Draft, seq: int) -> None:
    """Take a loop out of its pause, and its execution when nothing else of it is paused."""
    if draft.get(seq).run.state is not State.PAUSED:
        return
    draft.turn(seq, State.RUNNING)
    draft.update(paused=max(0, draft.head.paused - 1))
    if draft.execution.state is State.PAUSED and not draft.head.paused and not draft.head.suspended:
        draft.move(State.RESTARTED)
        draft.move(State.RUNNING)
    draft.ready.append(seq)


def pass_resume(
    draft: Draft, record: RunRecord, node: Node | None, inputs: dict[str, Any] | None, by: str | None
) -> bool:
    """Hand a resume on to the iterations that are paused; False when there is none."""
    if node is None or node.kind is not Kind.LOOP or record.branch is None:
        return False
    waiting = record.branch.data.get("paused", [])
    # At most as many as an execution may have jobs: the others have not begun.
    for index in intervals.members(waiting):
        target = child_id(record.run, index)
        send(draft, ResumeRequested(execution_id=target, at=draft.at, inputs=inputs, resumed_by=by))
    return bool(waiting)


def tell_pause(draft: Draft, base: Aggregate | Draft | None) -> None:
    """Tell the loop around that this iteration has paused, or goes on."""
    if not draft.exists:
        return
    known = base is not None and (not isinstance(base, Draft) or base.exists)
    was = base is not None and known and base.head.execution.state is State.PAUSED
    now = draft.execution.state is State.PAUSED
    if was != now and not draft.execution.state.is_terminated:
        tell(draft, is_paused=now)


def tell(draft: Draft, *, is_paused: bool) -> None:
    """Tell the loop around, when there is one, whether this iteration is paused."""
    parent = draft.execution.parent
    if draft.execution.kind is not ExecutionKind.LOOP or parent is None:
        return
    message = IterationPaused(
        execution_id=parent.execution_id,
        at=draft.at,
        seq=parent.seq,
        iteration=parent.iteration or 0,
        paused=is_paused,
    )
    send(draft, message)


def kill(draft: Draft, record: RunRecord, *, cascade: bool) -> bool:
    """Begin to kill a loop, with its iterations when `cascade`; tell whether they are to report."""
    seq = record.run.seq
    if record.run.state is State.PAUSED:
        draft.update(paused=max(0, draft.head.paused - 1))
    draft.turn(seq, State.KILLING)
    branch = draft.branch(seq)
    draft.set_branch(seq, replace(branch, data={**branch.data, "paused": [], "kill": 0 if cascade else branch.next}))
    draft.ready.append(seq)
    return branch.live > 0


def kill_on(draft: Draft, facts: Facts, seq: int) -> bool:
    """Kill iterations that run, a chunk at a time; tell whether all have ended."""
    branch = draft.branch(seq)
    if branch.live <= 0:
        return True
    run = draft.get(seq).run
    first = branch.data.get("kill", branch.next)
    for index in intervals.gaps(branch.data.get("ended", []), first, branch.next):
        if draft.started >= facts.around.chunk:
            draft.set_branch(seq, replace(branch, data={**branch.data, "kill": index}))
            go_on_later(draft, seq)
            return False
        draft.started += 1
        send(draft, KillRequested(execution_id=child_id(run, index), at=draft.at))
    draft.set_branch(seq, replace(branch, data={**branch.data, "kill": branch.next}))
    return False


def delete_iterations(draft: Draft, facts: Facts, event: DeleteRequested) -> bool:
    """Have the iterations of all Loops deleted, a chunk at a time; tell whether each has been told."""
    plan = facts.plan
    if plan is None or not any(node.kind is Kind.LOOP for node in plan.nodes.values()):
        return True
    told, left = 0, event.told
    for record in all_runs(draft, facts):
        node = plan.nodes.get(record.run.task_id)
        if node is None or node.kind is not Kind.LOOP or record.branch is None:
            continue
        first = min(left, record.branch.next)
        left -= first
        for index in range(first, record.branch.next):
            if told >= facts.around.chunk:
                send(draft, replace(event, told=event.told + told))
                return False
            told += 1
            # Nobody waits for one that runs still, and nobody would delete it later.
            send(draft, replace(event, execution_id=child_id(record.run, index), running=True, told=0))
    return True


def give_up(draft: Draft, seq: int) -> None:
    """Wait no longer for iterations that have not answered a kill."""
    draft.set_branch(seq, replace(draft.branch(seq), live=0))
