"""What people ask of a trigger: enable, disable, unlock, restart, and its backfill."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tiercel.condition.evaluate import Render
from tiercel.errors import ExpressionError
from tiercel.messages.trigger_event import TriggerCommand
from tiercel.model.trigger_state import TriggerState
from tiercel.scheduler.core import backfill, dates
from tiercel.scheduler.core.effects import Effect, Note, Stop
from tiercel.scheduler.core.plan import Kind, TriggerPlan

Obeyed = tuple[TriggerState | None, tuple[Effect, ...]]


def obeyed(
    state: TriggerState, plan: TriggerPlan | None, command: TriggerCommand, now: datetime, render: Render
) -> Obeyed:
    """Carry out a command; one that makes no sense changes nothing and says so."""
    match command.command:
        case "enable":
            return _enabled(state, plan, now, render), ()
        case "disable":
            return _stopped(msgspec.structs.replace(state, disabled=True))
        case "unlock":
            return msgspec.structs.replace(
                state, locked=False, execution_id=None, evaluating_since=None, alive_at=None
            ), ()
        case "restart" | "reset":
            return _restarted(state, plan, now, render)
        case "backfill-create":
            return _backfilled(state, plan, command, now, render)
        case "backfill-pause":
            return backfill.paused(state, True), ()
        case "backfill-continue":
            return backfill.paused(state, False), ()
        case "backfill-delete":
            return (backfill.over(state, plan, now, render) if state.backfill is not None else state), ()
        case "delete":
            return None, _stopped(state)[1]
        case _:
            return state, (Note(level="WARN", text=f"The command '{command.command}' is not known."),)


def _enabled(state: TriggerState, plan: TriggerPlan | None, now: datetime, render: Render) -> TriggerState:
    """Enable; dates that passed meanwhile are not made up for."""
    if not state.disabled:
        return state
    enabled = msgspec.structs.replace(state, disabled=False)
    return enabled if state.backfill is not None else _from_now(enabled, plan, now, render)


def _restarted(state: TriggerState, plan: TriggerPlan | None, now: datetime, render: Render) -> Obeyed:
    """Forget locks and what a worker does, and begin anew."""
    stopped, effects = _stopped(state)
    freed = msgspec.structs.replace(stopped, locked=False, execution_id=None)
    return (freed if state.backfill is not None else _from_now(freed, plan, now, render)), effects


def _from_now(state: TriggerState, plan: TriggerPlan | None, now: datetime, render: Render) -> TriggerState:
    if plan is None:
        return state
    date = dates.next_date(plan, now, now, render) if plan.kind is Kind.SCHEDULE else now
    return msgspec.structs.replace(state, next_evaluation_date=date)


def _stopped(state: TriggerState) -> tuple[TriggerState, tuple[Effect, ...]]:
    if state.evaluating_since is None:
        return state, ()
    freed = msgspec.structs.replace(
        state, evaluating_since=None, worker_id=None, alive_at=None, locked=state.execution_id is not None
    )
    return freed, (Stop(),)


def _backfilled(
    state: TriggerState, plan: TriggerPlan | None, command: TriggerCommand, now: datetime, render: Render
) -> Obeyed:
    if plan is None or plan.kind is not Kind.SCHEDULE:
        return state, (Note(level="WARN", text="Only a schedule can be backfilled."),)
    try:
        return backfill.started(state, plan, command.data, now, render), ()
    except ExpressionError as error:
        return state, (Note(level="WARN", text=str(error)),)
