"""Retries of failed tasks and executions (reference 2): decided by the executor, woken by a timer."""

from __future__ import annotations

from datetime import datetime

from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import decides, end_attempt, fold
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Kind, Node
from tiercel.model.backoff import next_try
from tiercel.model.execution import TaskRun
from tiercel.model.flow import Retry, RetryBehavior
from tiercel.model.live import Phase, TimerKind
from tiercel.model.state import State

HELD = "held"
"""In the data of a flowable: the failed task that is tried again when its `errors` and `finally` have ended."""


def policy_of(node: Node, facts: Facts) -> Retry | None:
    """Return the retry of a task: its own, else of the nearest flowable around, else of the flow."""
    if node.kind not in (Kind.RUNNABLE, Kind.SUBFLOW):
        return None
    for holder in (node, *node.ancestors()):
        if holder.task.retry is not None:
            return holder.task.retry if holder is node or not _as_whole(holder) else None
    assert facts.plan is not None
    return facts.plan.flow.retry


def _as_whole(node: Node) -> bool:
    """Tell whether a flowable is tried again with all that is inside it."""
    policy = node.task.retry
    return node.kind.has_children and policy is not None and policy.behavior is RetryBehavior.RETRY_FLOWABLE


def renews(node: Node, facts: Facts) -> bool:
    """Tell whether a failed task is tried again by a new execution."""
    policy = policy_of(node, facts)
    return policy is not None and policy.behavior is RetryBehavior.CREATE_NEW_EXECUTION


def next_date(policy: Retry, run: TaskRun, draft: Draft, dialect: str) -> datetime | None:
    """Return when a failed run is tried again; None when it is not."""
    execution = draft.execution
    of_flow = policy.behavior is RetryBehavior.CREATE_NEW_EXECUTION
    if of_flow and execution.state.is_terminated:
        return None  # What is run after the end is not why the execution would be tried again.
    tried = execution.attempt_number if of_flow else run.attempt
    began = run.attempts[0].history[0].date if run.attempts else run.history[0].date
    if of_flow:
        began = execution.original_created or execution.history[0].date
    return next_try(policy, tried, draft.at, began, run.id, dialect)


def retry(draft: Draft, facts: Facts, seq: int, node: Node) -> bool:
    """Arrange the next try of a run whose attempt has FAILED; False when there is none."""
    if draft.head.kill_requested:
        return False
    policy = policy_of(node, facts)
    record = draft.get(seq)
    dialect = str(facts.plan.flow.dialect) if facts.plan is not None else "2.x"
    due = next_date(policy, record.run, draft, dialect) if policy is not None else None
    if policy is None or due is None:
        return False
    draft.turn(seq, State.FAILED)
    if policy.behavior is RetryBehavior.CREATE_NEW_EXECUTION:
        _retry_execution(draft, seq, due)
    elif not _holds(draft, facts, seq, node):
        _wait(draft, seq, due)
    return True


def _holds(draft: Draft, facts: Facts, seq: int, node: Node) -> bool:
    """
    Let the `errors` and `finally` of a flowable run before its failed task is tried again; False when there are none.

    They do so when it is the flowable, or one around it, whose `retry` counts: a task's own retry comes first.
    """
    above = draft.get(seq).run.parent
    assert facts.plan is not None
    if above is None or not may_be_held(node) or policy_of(node, facts) is facts.plan.flow.retry:
        return False
    branch = draft.branch(above)
    if branch.phase is not Phase.TASKS:
        return False
    held = {HELD: seq, "next": branch.next, "total": branch.total}
    changes = {"live": branch.live - 1, "failed": branch.failed + 1, "data": {**branch.data, HELD: held}}
    draft.set_branch(above, replace(branch, **changes))
    draft.ready.append(above)
    return True


def may_be_held(node: Node) -> bool:
    """Tell whether the flowable around a task has further lists to run when it has failed, and no siblings to await."""
    around = node.parent
    if around is None or node.task.retry is not None or not decides(node):
        return False
    further = around.branches.get("errors") or around.branches.get("finally")
    return bool(further) and around.kind in (Kind.SEQUENTIAL, Kind.CHOICE, Kind.LOOP_UNTIL)


def retry_held(draft: Draft, facts: Facts, seq: int) -> bool:
    """Try the task again that has waited for the `errors` and `finally` of its flowable; False when there is none."""
    branch = draft.branch(seq)
    if HELD not in branch.data:
        return False
    held = branch.data[HELD]
    data = {key: value for key, value in branch.data.items() if key != HELD}
    child = held[HELD]
    node = facts.node_of(draft.get(child).run.task_id)
    policy = policy_of(node, facts) if node is not None else None
    dialect = str(facts.plan.flow.dialect) if facts.plan is not None else "2.x"
    due = next_date(policy, draft.get(child).run, draft, dialect) if policy is not None else None
    if due is None:
        draft.set_branch(seq, replace(branch, data=data))
        fold(draft, child)
        return False
    changes = {"phase": Phase.TASKS, "next": held["next"], "total": held["total"], "live": 1, "failed": 0, "data": data}
    draft.set_branch(seq, replace(branch, **changes))
    _wait(draft, child, due)
    return True


def retry_whole(draft: Draft, facts: Facts, seq: int, node: Node) -> bool:
    """Arrange the next try of a flowable that has failed, with all that is inside it; False when there is none."""
    policy = node.task.retry
    if policy is None or not _as_whole(node) or draft.head.kill_requested:
        return False
    assert facts.plan is not None
    run = draft.get(seq).run
    began = run.attempts[0].history[0].date
    due = next_try(policy, run.attempt, draft.at, began, run.id, str(facts.plan.flow.dialect))
    if due is None:
        return False
    draft.put(replace(draft.get(seq), run=end_attempt(run, State.FAILED, draft.at)))
    draft.turn(seq, State.FAILED)
    _wait(draft, seq, due)
    return True


def _wait(draft: Draft, seq: int, due: datetime) -> None:
    draft.turn(seq, State.RETRYING)
    draft.set_timer(TimerKind.RETRY, seq, due)
    draft.update(retrying=draft.head.retrying + 1)
    draft.move(State.RETRYING)


def _retry_execution(draft: Draft, seq: int, due: datetime) -> None:
    """End everything as RETRIED; a new execution follows when the timer is due."""
    above: int | None = seq
    while above is not None:
        if draft.get(above).run.state is State.PAUSED:
            draft.turn(above, State.RUNNING)
        draft.turn(above, State.RETRIED)
        record = draft.get(above)
        draft.put(replace(record, folded=True))
        above = record.run.parent
    draft.set_timer(TimerKind.FLOW_RETRY, 0, due)
    draft.leave = State.RETRIED


def is_warned(node: Node, run: TaskRun) -> bool:
    """Tell whether a success after a retry counts as a warning: as the task's own retry says."""
    policy = node.task.retry if _as_whole(node) or not node.kind.has_children else None
    return policy is not None and policy.warning_on_retry and run.attempt > 1
