"""
Backfills: a schedule is run over a past stretch of time, one date after the other.

`current_date` is where it stands: the first date from there on is the next to fire. Meanwhile the schedule itself
rests, with its next date kept aside; `next_evaluation_date` shows the date at hand, and before anything has fired the
one after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tiercel.condition.evaluate import Render
from tiercel.condition.moment import read_moment
from tiercel.errors import ExpressionError
from tiercel.model import ids
from tiercel.model.trigger_state import Backfill, TriggerState
from tiercel.scheduler.core import dates
from tiercel.scheduler.core.effects import Effect, Fire
from tiercel.scheduler.core.firing import Outcome, locked, untold
from tiercel.scheduler.core.plan import TriggerPlan


def started(
    state: TriggerState, plan: TriggerPlan, data: Mapping[str, Any], now: datetime, render: Render
) -> TriggerState:
    """Begin a backfill; raise ExpressionError when its dates cannot be read."""
    end = data.get("end")
    start = _instant(data.get("start"))
    asked = Backfill(
        start=start,
        end=_instant(end) if end is not None else now,
        current_date=_instant(data.get("currentDate") or start),
        paused=bool(data.get("paused", False)),
        inputs=dict(data["inputs"]) if data.get("inputs") else None,
        labels=_labels(data.get("labels")),
        previous_next_execution_date=kept_date(state),
    )
    return shown(msgspec.structs.replace(state, backfill=asked), plan, now, render)


def kept_date(state: TriggerState) -> datetime | None:
    """Return the schedule's own next date, which a running backfill keeps aside."""
    if state.backfill is not None and state.backfill.previous_next_execution_date is not None:
        return state.backfill.previous_next_execution_date
    return state.next_evaluation_date


def due(backfill: Backfill, plan: TriggerPlan) -> datetime | None:
    """Return when the date at hand may fire: when it has come, which may be later than now."""
    assert plan.timetable is not None
    return plan.timetable.after(backfill.current_date - dates.MOMENT) or backfill.current_date


def fired(state: TriggerState, plan: TriggerPlan, now: datetime, render: Render) -> Outcome:
    """Fire the date at hand, and go on to the next."""
    backfill = state.backfill
    assert backfill is not None
    slot = dates.first_after(plan, backfill.current_date - dates.MOMENT, now, render)
    if slot is None or slot > backfill.end:
        return over(state, plan, now, render), ()
    if slot > now:
        return _at(state, backfill, slot), ()
    execution_id = ids.derived_id(now, plan.uid, slot.isoformat(), "backfill", str(state.version))
    following = dates.first_after(plan, slot, now, render)
    effect: Effect
    try:
        holds, why = dates.counts(plan, slot, render), None
    except ExpressionError as error:
        holds, why = True, untold(plan, error)
    effect = Fire(
        execution_id=execution_id,
        date=slot,
        variables=dates.schedule_variables(plan, slot, following, now, render),
        inputs=backfill.inputs or {},
        labels=backfill.labels,
        failed=why,
    )
    gone_on = msgspec.structs.replace(
        state,
        evaluated_at=slot,
        last_triggered_date=now if holds else state.last_triggered_date,
        next_evaluation_date=None,  # what it showed was a date of the backfill
    )
    if following is None or following > backfill.end:
        gone_on = over(gone_on, plan, now, render)
    else:
        gone_on = _at(gone_on, backfill, following)
    if not holds:
        return gone_on, ()
    return (locked(gone_on, plan, execution_id) if why is None else gone_on), (effect,)


def over(state: TriggerState, plan: TriggerPlan | None, now: datetime, render: Render) -> TriggerState:
    """End the backfill: the schedule goes on with the date that it had."""
    date = kept_date(state)
    if date is None and plan is not None and plan.timetable is not None:
        date = dates.next_date(plan, now, now, render)
    return msgspec.structs.replace(state, backfill=None, next_evaluation_date=date)


def paused(state: TriggerState, value: bool) -> TriggerState:
    """Hold the backfill, or let it go on; without one nothing changes."""
    if state.backfill is None:
        return state
    return msgspec.structs.replace(state, backfill=msgspec.structs.replace(state.backfill, paused=value))


def shown(state: TriggerState, plan: TriggerPlan, now: datetime, render: Render) -> TriggerState:
    """Return the state with the date that people see; a backfill without a date left is over."""
    backfill = state.backfill
    assert backfill is not None
    at_hand = dates.first_after(plan, backfill.current_date - dates.MOMENT, now, render)
    if at_hand is None or at_hand > backfill.end:
        return over(state, plan, now, render)
    following = dates.first_after(plan, backfill.current_date, now, render)
    return msgspec.structs.replace(state, next_evaluation_date=following)


def _at(state: TriggerState, backfill: Backfill, date: datetime) -> TriggerState:
    at_hand = msgspec.structs.replace(backfill, current_date=date)
    return msgspec.structs.replace(state, backfill=at_hand, next_evaluation_date=date)


def _instant(value: Any) -> datetime:
    if value is None:
        raise ExpressionError("A backfill needs a 'start'.")
    return (value if isinstance(value, datetime) else read_moment(str(value))).astimezone(UTC)


def _labels(value: Any) -> tuple[tuple[str, str], ...]:
    """Read labels that are a map, or a list of pairs or of key and value."""
    if not value:
        return ()
    if isinstance(value, Mapping):
        return tuple((str(key), str(text)) for key, text in value.items())
    return tuple(
        (str(item["key"]), str(item["value"])) if isinstance(item, Mapping) else (str(item[0]), str(item[1]))
        for item in value
    )
