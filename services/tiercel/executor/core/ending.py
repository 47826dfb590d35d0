"""How things end: final states from counters, outputs kept, parents told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tiercel.executor.core.context import path_of
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.plan import ROOT, Kind, Node
from tiercel.model.execution import Attempt, OutputRef, TaskRun
from tiercel.model.live import Branch, OutputRecord, Phase
from tiercel.model.state import State, StateChange


def guess(branch: Branch) -> State:
    """Return the final state that the counters of the phase `tasks` mean (reference 3.4)."""
    if branch.killed:
        return State.KILLED
    if branch.failed:
        return State.FAILED
    if branch.warned:
        return State.WARNING
    return State.SUCCESS


def allowed(state: State, node: Node) -> State:
    """Apply `allowFailure` and `allowWarning` of a task to its final state."""
    if state is State.FAILED and node.task.allow_failure:
        state = State.WARNING
    if state is State.WARNING and node.task.allow_warning:
        state = State.SUCCESS
    return state


def keep_outputs(draft: Draft, run: TaskRun, ref: OutputRef | None) -> TaskRun:
    """Note the outputs of a task run; return the run that says so."""
    if ref is None:
        return run
    draft.outputs.append(OutputRecord(seq=run.seq, task_id=run.task_id, ref=ref, path=path_of(draft, run)))
    return run if run.has_outputs else replace(run, has_outputs=True)


def set_outputs(draft: Draft, seq: int, value: dict[str, Any]) -> None:
    """Set the outputs of a task run that the executor itself makes."""
    record = draft.get(seq)
    draft.put(replace(record, run=keep_outputs(draft, record.run, OutputRef(size=len(str(value)), value=value))))


def begin_attempt(run: TaskRun, at: datetime, worker: str | None = None) -> TaskRun:
    """Return the run with a new attempt that is RUNNING."""
    history = (StateChange(State.CREATED, at), StateChange(State.RUNNING, at))
    return replace(run, attempts=(*run.attempts, Attempt(state=State.RUNNING, history=history, worker_id=worker)))


def end_attempt(run: TaskRun, state: State, at: datetime, log_file: str | None = None) -> TaskRun:
    """Return the run with its last attempt ended, beginning one when there is none."""
    if not run.attempts or run.attempts[-1].state.is_terminated:
        run = begin_attempt(run, at)
    last = run.attempts[-1]
    if last.history and last.history[-1].date > at:
        at = last.history[-1].date
    ended = replace(last, state=state, history=(*last.history, StateChange(state, at)), log_file=log_file)
    return replace(run, attempts=(*run.attempts[:-1], ended))


def list_of(branch: Branch) -> str:
    """Return the name of the list that is being worked on."""
    return branch.name if branch.phase is Phase.TASKS else branch.phase.value


def belongs(branch: Branch, child: Node | None) -> bool:
    """Tell whether a child is of the phase that is being worked on."""
    if child is None:
        return branch.phase is Phase.TASKS
    if branch.phase is Phase.AFTER:
        return child.branch == "after" or child.branch.startswith("listener.")
    return child.branch == list_of(branch)


def decides(child: Node | None) -> bool:
    """Tell whether a child's end counts for the final state of its parent: errors, finally and the like do not."""
    return child is None or child.branch not in ("errors", "finally", "after", "onPause")


def count_end(draft: Draft, run: TaskRun, node: Node | None) -> None:
    """Count an ended child in its parent's branch, fold it, and have the parent looked at."""
    seq = ROOT if run.parent is None else run.parent
    branch = draft.branch(seq)
    changes: dict[str, Any]
    if belongs(branch, node):
        changes = {"live": branch.live - 1, "ended": branch.ended + 1}
    else:
        changes = {"behind": branch.behind - 1}
    if decides(node):
        if run.state is State.FAILED:
            changes["failed"] = branch.failed + 1
        elif run.state is State.WARNING:
            changes["warned"] = branch.warned + 1
        elif run.state in (State.KILLED, State.CANCELLED):
            changes["killed"] = branch.killed + 1
    if node is not None and branch.phase is Phase.TASKS and belongs(branch, node):
        changes |= _order(branch, run, node)
    draft.set_branch(seq, replace(branch, **changes))
    fold(draft, run.seq)
    draft.ready.append(seq)


def fold(draft: Draft, seq: int) -> None:
    """Let an ended task run leave memory."""
    draft.put(replace(draft.get(seq), folded=True))


def _order(branch: Branch, run: TaskRun, node: Node) -> dict[str, Any]:
    """Return what the end of a child means for the order of its siblings: a Dag's dependants, a group's next task."""
    parent = node.parent
    if parent is None:
        return {}
    if parent.kind is Kind.DAG:
        return {"done": (*branch.done, node.id)}
    if parent.kind is Kind.FOR_EACH and run.state not in (State.FAILED, State.KILLED, State.CANCELLED):
        nodes = parent.branches["tasks"]
        place = nodes.index(node) + 1
        if place < len(nodes):
            pending = [*branch.data.get("pending", ()), (place, run.iteration, run.value)]
            return {"data": {**branch.data, "pending": pending}}
    return {}
