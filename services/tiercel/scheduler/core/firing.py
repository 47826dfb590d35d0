"""A date has come: an execution, a job for a worker, or nothing because the conditions do not hold."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tiercel.condition.evaluate import Render
from tiercel.errors import ExpressionError
from tiercel.model import ids
from tiercel.model.duration import later
from tiercel.model.trigger_state import TriggerState
from tiercel.scheduler.core import dates
from tiercel.scheduler.core.effects import Effect, Evaluate, Fire, Note, Stop
from tiercel.scheduler.core.plan import TriggerPlan

Outcome = tuple[TriggerState, tuple[Effect, ...]]


def fired(state: TriggerState, plan: TriggerPlan, now: datetime, render: Render) -> Outcome:
    """Fire the date of a schedule that has come."""
    slot = state.next_evaluation_date
    assert slot is not None
    earliest = dates.earliest_allowed(plan, now)
    if earliest is not None and slot < earliest:
        following = dates.next_date(plan, slot, now, render)
        note = Note(level="WARN", text=f"The date {dates.written(plan, slot)} is later than lateMaximumDelay allows.")
        return msgspec.structs.replace(state, next_evaluation_date=following), (note,)
    execution_id = ids.derived_id(slot, plan.uid, slot.isoformat())
    try:
        if not dates.counts(plan, slot, render):
            following = dates.next_date(plan, slot, now, render)
            return msgspec.structs.replace(state, evaluated_at=slot, next_evaluation_date=following), ()
    except ExpressionError as error:
        return failed(state, plan, slot, execution_id, now, render, error)
    changed = msgspec.structs.replace(
        state,
        evaluated_at=slot,
        last_triggered_date=now,
        next_evaluation_date=dates.next_date(plan, slot, now, render),
    )
    return locked(changed, plan, execution_id), (for_date(plan, slot, execution_id, now, render),)


def untold(plan: TriggerPlan, error: ExpressionError) -> str:
    """Say that the conditions cannot be evaluated, and why."""
    return f"The conditions of trigger '{plan.trigger.id}' cannot be evaluated: {error}"


def for_date(plan: TriggerPlan, slot: datetime, execution_id: str, now: datetime, render: Render) -> Fire:
    """Return what fires at a date, with the dates around it that count."""
    following = dates.first_after(plan, slot, now, render, certain=True)
    variables = dates.schedule_variables(plan, slot, following, now, render)
    return Fire(execution_id=execution_id, date=slot, variables=variables)


def failed(
    state: TriggerState,
    plan: TriggerPlan,
    slot: datetime,
    execution_id: str,
    now: datetime,
    render: Render,
    error: ExpressionError,
) -> Outcome:
    """Make an execution that is FAILED, so that its author sees that the conditions cannot be evaluated."""
    changed = msgspec.structs.replace(
        state,
        evaluated_at=slot,
        last_triggered_date=now,
        next_evaluation_date=dates.next_date(plan, slot, now, render),
    )
    effect = Fire(
        execution_id=execution_id,
        date=slot,
        variables={"date": dates.written(plan, slot)},
        failed=untold(plan, error),
    )
    return changed, (effect,)


def evaluation(state: TriggerState, plan: TriggerPlan, now: datetime, render: Render) -> Outcome:
    """Have a worker evaluate the trigger, if its conditions hold."""
    assert plan.interval is not None
    rested = msgspec.structs.replace(state, evaluated_at=now, next_evaluation_date=later(now, plan.interval))
    try:
        if not dates.counts(plan, now, render):
            return rested, ()
    except ExpressionError as error:
        execution_id = ids.derived_id(now, plan.uid, str(state.version), "failed")
        fire = Fire(execution_id=execution_id, date=now, variables={}, scheduled=False, failed=untold(plan, error))
        return rested, (fire,)
    waiting = msgspec.structs.replace(
        state, evaluated_at=now, evaluating_since=now, locked=True, worker_id=None, alive_at=None
    )
    # A worker that was not heard of for too long may still run the last one.
    lost = (Stop(worker=state.worker_id),) if state.worker_id is not None else ()
    return waiting, (*lost, Evaluate(date=now))


def locked(state: TriggerState, plan: TriggerPlan, execution_id: str) -> TriggerState:
    """Return the state that waits for its execution, unless several may run at a time."""
    if plan.trigger.allow_concurrent:
        return state
    return msgspec.structs.replace(state, locked=True, execution_id=execution_id)
