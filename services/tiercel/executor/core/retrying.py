"""Retries of failed tasks and executions (reference 2): decided by the executor, woken by a timer."""

from __future__ import annotations

from datetime import datetime

from tiercel.executor.core.draft import Draft, replace
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
            return holder.task.retry
    assert facts.plan is not None
    return facts.plan.flow.retry


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
        draft.turn(seq, State.RETRYING)
        draft.set_timer(TimerKind.RETRY, seq, due)
        draft.update(retrying=draft.head.retrying + 1)
        draft.move(State.RETRYING)
    return True


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
    policy = policy_of(node, facts)
    return policy is not None and policy.warning_on_retry and run.attempt > 1
