"""
One event of one trigger: what becomes of its state, and what is to be done.

The state that comes back is complete; its version grows by one when it differs. `wake_at` tells when to ask again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from tiercel.condition.evaluate import Render
from tiercel.messages.trigger_event import (
    FlowChanged,
    TriggerAlive,
    TriggerCommand,
    TriggeredExecutionEnded,
    TriggerEvaluated,
    TriggerEvent,
    TriggerReturned,
)
from tiercel.model import ids
from tiercel.model.duration import later
from tiercel.model.trigger_state import TriggerState
from tiercel.plugins.core.trigger.schedule import RecoverMissedSchedules
from tiercel.scheduler.core import backfill, commands, dates, firing
from tiercel.scheduler.core.effects import Effect, Fire, Note, Stop
from tiercel.scheduler.core.plan import REALTIME_FAILED_PAUSE, Kind, TriggerPlan

EVALUATION_PATIENCE: Final = timedelta(minutes=10)
"""A polling trigger that a worker has not answered for is evaluated again: its worker is gone or the job was lost."""


ALIVE_PATIENCE: Final = timedelta(seconds=100)
"""A worker that runs a trigger says so every thirty seconds; after three times it is taken for gone."""


class Decision(NamedTuple):
    """The state afterwards (None: there is none) and the effects, in order."""

    state: TriggerState | None
    effects: tuple[Effect, ...] = ()


def decide(
    state: TriggerState | None, plan: TriggerPlan | None, event: TriggerEvent, now: datetime, render: Render
) -> Decision:
    """Fold an event into the state; an event that does not concern it changes nothing."""
    if isinstance(event, FlowChanged):
        return follow(state, plan, now, render)
    if state is None:
        return Decision(None)
    match event:
        case TriggerCommand():
            return _finished(state, Decision(*commands.obeyed(state, plan, event, now, render)), plan, now)
        case TriggeredExecutionEnded():
            return _finished(state, Decision(_ended(state, plan, event)), plan, now)
        case TriggerEvaluated():
            return _finished(state, _evaluated(state, plan, event, now), plan, now)
        case TriggerAlive() | TriggerReturned():
            return _finished(state, _told_by_worker(state, event, now), plan, now)


def wake_at(state: TriggerState, plan: TriggerPlan | None) -> datetime | None:
    """Return when the trigger comes due, None when it waits for something else than time."""
    if plan is None or plan.disabled or state.disabled:
        return None
    if state.evaluating_since is not None:
        if state.alive_at is not None:
            return state.alive_at + ALIVE_PATIENCE
        return state.evaluating_since + EVALUATION_PATIENCE
    if state.locked:
        return None
    if state.backfill is not None:
        return None if state.backfill.paused else backfill.due(state.backfill, plan)
    return state.next_evaluation_date


def due(state: TriggerState, plan: TriggerPlan, now: datetime, render: Render) -> Decision:
    """Do what is due by now: at most one execution, or one evaluation by a worker."""
    at = wake_at(state, plan)
    if at is None or at > now:
        return Decision(state)
    if plan.kind is not Kind.SCHEDULE:
        return _finished(state, Decision(*firing.evaluation(state, plan, now, render)), plan, now)
    if state.backfill is not None:
        return _finished(state, Decision(*backfill.fired(state, plan, now, render)), plan, now)
    return _finished(state, Decision(*firing.fired(state, plan, now, render)), plan, now)


def follow(state: TriggerState | None, plan: TriggerPlan | None, now: datetime, render: Render) -> Decision:
    """Make the state agree with the flow's revision: new, changed or gone."""
    if plan is None:
        return Decision(None, (Stop(),) if state is not None and state.kind == Kind.REALTIME else ())
    if state is None:
        return _finished(None, Decision(_new(plan, now, render)), plan, now)
    if state.flow_revision == plan.flow.revision and state.kind == plan.kind:
        return _finished(state, Decision(state), plan, now)
    effects: tuple[Effect, ...] = ()
    changed = msgspec.structs.replace(
        state, flow_revision=plan.flow.revision or 0, kind=plan.kind, stop_after=plan.trigger.stop_after
    )
    if plan.kind is not Kind.SCHEDULE or state.kind != plan.kind:
        # What a worker does for the older revision is stopped, and the new one is evaluated at once.
        effects = (Stop(),) if state.evaluating_since is not None else ()
        held = state.execution_id is not None
        changed = msgspec.structs.replace(changed, evaluating_since=None, worker_id=None, alive_at=None, locked=held)
    if state.backfill is None:
        changed = msgspec.structs.replace(changed, next_evaluation_date=_rescheduled(state, plan, now, render))
    return _finished(state, Decision(changed, effects), plan, now)


def taken_over(
    state: TriggerState, plan: TriggerPlan, now: datetime, render: Render, grace: timedelta = timedelta()
) -> Decision:
    """
    Take up a trigger after a standstill: give it a date if it has none, and treat missed dates as its author wants.

    A date that is late by no more than `grace` is not missed: another scheduler was about to fire it.
    """
    if plan.kind is not Kind.SCHEDULE or state.backfill is not None:
        return Decision(state)
    date = state.next_evaluation_date
    if date is None:
        date = dates.next_date(plan, state.evaluated_at or now, now, render)
    if date is not None and date < now - grace and not state.locked:
        match plan.recover:
            case RecoverMissedSchedules.LAST:
                last = dates.last_before(plan, now, now, render)
                date = last if last is not None and last >= date else dates.next_date(plan, now, now, render)
            case RecoverMissedSchedules.NONE:
                date = dates.next_date(plan, now, now, render)
            case RecoverMissedSchedules.ALL:
                pass
    return _finished(state, Decision(msgspec.structs.replace(state, next_evaluation_date=date)), plan, now)


def released(state: TriggerState, plan: TriggerPlan | None, now: datetime) -> Decision:
    """Unlock a trigger whose execution nobody knows."""
    freed = msgspec.structs.replace(state, locked=False, execution_id=None)
    note = Note(level="WARN", text=f"What locks the trigger ({state.execution_id or 'nothing'}) is not known any more.")
    return _finished(state, Decision(freed, (note,)), plan, now)


def _new(plan: TriggerPlan, now: datetime, render: Render) -> TriggerState:
    flow = plan.flow
    date = dates.next_date(plan, now, now, render) if plan.kind is Kind.SCHEDULE else now
    return TriggerState(
        uid=plan.uid,
        tenant_id=flow.tenant_id,
        namespace=flow.namespace,
        flow_id=flow.id,
        trigger_id=plan.trigger.id,
        flow_revision=flow.revision or 0,
        kind=plan.kind,
        next_evaluation_date=date,
        stop_after=plan.trigger.stop_after,
    )


def _rescheduled(state: TriggerState, plan: TriggerPlan, now: datetime, render: Render) -> datetime | None:
    """Return the next date under a new definition; a date that has come and still waits stays if it still is one."""
    if plan.kind is not Kind.SCHEDULE:
        return now
    waiting = state.next_evaluation_date
    if waiting is not None and waiting <= now and state.kind == plan.kind:
        assert plan.timetable is not None
        if plan.timetable.after(waiting - timedelta(microseconds=1)) == waiting:
            return waiting
    return dates.next_date(plan, now, now, render)


def _ended(state: TriggerState, plan: TriggerPlan | None, event: TriggeredExecutionEnded) -> TriggerState:
    stop_after = plan.trigger.stop_after if plan is not None else state.stop_after
    if event.state in stop_after:
        state = msgspec.structs.replace(state, disabled=True)
    if event.execution_id != state.execution_id:
        return state
    return msgspec.structs.replace(state, locked=state.evaluating_since is not None, execution_id=None)


def _told_by_worker(state: TriggerState, event: TriggerAlive | TriggerReturned, now: datetime) -> Decision:
    """A worker still runs the trigger, or hands it back; one that runs what nobody waits for is stopped."""
    if event.evaluation != state.evaluating_since:
        stop = Stop(worker=event.worker, evaluation=event.evaluation)
        return Decision(state, (stop,) if isinstance(event, TriggerAlive) else ())
    if isinstance(event, TriggerAlive):
        return Decision(msgspec.structs.replace(state, worker_id=event.worker, alive_at=event.at))
    held = state.execution_id is not None
    freed = msgspec.structs.replace(state, evaluating_since=None, worker_id=None, alive_at=None, locked=held)
    return Decision(msgspec.structs.replace(freed, next_evaluation_date=now))


def _evaluated(state: TriggerState, plan: TriggerPlan | None, event: TriggerEvaluated, now: datetime) -> Decision:
    """Take a worker's answer: an execution to create, none, or an error."""
    execution_id = ids.derived_id(
        event.at, state.uid, str(state.version), str(event.evaluation), event.number, "evaluated"
    )
    if state.kind == Kind.REALTIME and event.variables is not None:
        # What a stream has told has happened, whatever became of the trigger meanwhile.
        changed = msgspec.structs.replace(state, last_triggered_date=event.at, error=None)
        return Decision(changed, (_answer(execution_id, event, event.variables),))
    if event.evaluation is not None and event.evaluation != state.evaluating_since:
        return Decision(state)  # nobody waits for this answer any more
    rested = msgspec.structs.replace(_rested(state, plan, now), error=event.error)
    if event.error is not None:
        if state.kind == Kind.REALTIME:
            rested = msgspec.structs.replace(rested, next_evaluation_date=now + REALTIME_FAILED_PAUSE)
        if plan is not None and plan.trigger.fail_on_trigger_error:
            return Decision(rested, (_answer(execution_id, event, {}, failed=event.error),))
        return Decision(rested, (Note(level="ERROR", text=event.error),))
    if event.variables is None:
        return Decision(rested)
    fired = msgspec.structs.replace(rested, last_triggered_date=event.at)
    if plan is None or not plan.trigger.allow_concurrent:
        fired = msgspec.structs.replace(fired, locked=True, execution_id=execution_id)
    return Decision(fired, (_answer(execution_id, event, event.variables),))


def _answer(execution_id: str, event: TriggerEvaluated, variables: dict[str, Any], failed: str | None = None) -> Fire:
    return Fire(execution_id=execution_id, date=event.at, variables=variables, scheduled=False, failed=failed)


def _rested(state: TriggerState, plan: TriggerPlan | None, now: datetime) -> TriggerState:
    interval = plan.interval if plan is not None else None
    return msgspec.structs.replace(
        state,
        locked=state.execution_id is not None,
        evaluating_since=None,
        worker_id=None,
        alive_at=None,
        evaluated_at=now,
        next_evaluation_date=later(now, interval) if interval is not None else state.next_evaluation_date,
    )


def _finished(before: TriggerState | None, decision: Decision, plan: TriggerPlan | None, now: datetime) -> Decision:
    """Say why the trigger waits, and count the version when anything changed."""
    state = decision.state
    if state is None:
        return decision
    state = msgspec.structs.replace(state, why=_why(state, plan))
    if before is not None and state == before:
        return Decision(before, decision.effects)
    version = before.version + 1 if before is not None else 1
    return Decision(msgspec.structs.replace(state, version=version, updated_at=now), decision.effects)


def _why(state: TriggerState, plan: TriggerPlan | None) -> str | None:
    if state.disabled:
        return "It is disabled."
    if plan is None or plan.disabled:
        return "It is disabled in its flow."
    if state.execution_id is not None:
        return f"It waits for execution {state.execution_id} to end."
    if state.evaluating_since is not None:
        return "A worker evaluates it."
    if state.locked:
        return "It is locked."
    if state.backfill is not None and state.backfill.paused:
        return "Its backfill is paused."
    if wake_at(state, plan) is None:
        return "It has no further date."
    return None
