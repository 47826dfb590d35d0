"""Retries of failed tasks and executions (reference 2): decided by the executor, woken by a timer."""

from __future__ import annotations

from datetime import datetime

from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import end_attempt
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Kind, Node
from tiercel.model.backoff import next_try
from tiercel.model.execution import TaskRun
from tiercel.model.flow import Retry, RetryBehavior
from tiercel.model.live import TimerKind
from tiercel.model.state import State


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
    else:
        _wait(draft, seq, due)
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
        draft.turn(above, State.RETRIED)
        record = draft.get(above)
        draft.put(replace(record, folded=True))
        above = record.run.parent
    draft.set_timer(TimerKind.FLOW_RETRY, 0, due)
    draft.leave = State.RETRIED


def is_warned(node: Node, facts: Facts, run: TaskRun) -> bool:
    """Tell whether a success after a retry counts as a warning."""
    policy = node.task.retry if _as_whole(node) else policy_of(node, facts)
    return policy is not None and policy.warning_on_retry and run.attempt > 1
