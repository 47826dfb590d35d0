"""
Which dates of a timetable count: those for which the conditions hold, and which are not too late.

Searching is bounded in years and in dates looked at. Where the second bound is reached the search returns the date at
which it stopped: the trigger wakes there, finds that its conditions do not hold, and goes on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tiercel.condition.evaluate import Render, Subject, all_hold, when_holds
from tiercel.errors import ExpressionError
from tiercel.model.duration import later
from tiercel.scheduler.core.plan import TriggerPlan

YEARS_MAX: Final = timedelta(days=3653)
"""Kestra's bound, ten years to either side of the present."""
DATES_MAX: Final = 10_000
"""A tenth of a second's work; every minute for a week, which is where a condition on days repeats."""
MOMENT: Final = timedelta(microseconds=1)
"""Subtracted from an instant so that a search after it finds the instant itself."""


def written(plan: TriggerPlan, instant: datetime) -> str:
    """Write an instant as expressions see it: ISO-8601 in the trigger's zone, `Z` for UTC."""
    local = instant.astimezone(plan.zone)
    return local.isoformat().removesuffix("+00:00") + "Z" if not local.utcoffset() else local.isoformat()


def variables_at(plan: TriggerPlan, instant: datetime, **more: Any) -> dict[str, Any]:
    """Return the variables with which conditions, labels and inputs are rendered at a date."""
    trigger = {
        "id": plan.trigger.id,
        "type": plan.trigger.type,
        "date": written(plan, instant),
        "timestamp": int(instant.timestamp()),
        **more,
    }
    return {**plan.variables, "trigger": trigger}


def counts(plan: TriggerPlan, instant: datetime, render: Render) -> bool:
    """Tell whether the conditions hold at a date; raise ExpressionError when it cannot be told."""
    if not plan.conditional:
        return True
    variables = variables_at(plan, instant)
    subject = Subject(
        namespace=plan.flow.namespace, flow_id=plan.flow.id, variables=variables, zone=plan.zone
    )  # fmt: skip
    return when_holds(plan.trigger.when, variables, render) and all_hold(plan.conditions, subject, render)


def next_date(plan: TriggerPlan, after: datetime, now: datetime, render: Render) -> datetime | None:
    """
    Return the first date after an instant that counts and is not too late, None when there is none.

    A date whose conditions cannot be evaluated is returned: it will show its error when it comes.
    """
    found = first_after(plan, after, now, render)
    earliest = earliest_allowed(plan, now)
    if found is not None and earliest is not None and found < earliest:
        return first_after(plan, earliest - MOMENT, now, render)
    return found


def earliest_allowed(plan: TriggerPlan, now: datetime) -> datetime | None:
    """Return the instant before which dates are too late, None when none is."""
    return later(now, -plan.late_maximum_delay) if plan.late_maximum_delay is not None else None


def first_after(
    plan: TriggerPlan, after: datetime, now: datetime, render: Render, *, certain: bool = False
) -> datetime | None:
    """Return the first date after an instant that counts; with `certain`, None rather than one that may not."""
    assert plan.timetable is not None
    found = plan.timetable.after(after)
    if not plan.conditional or found is None:
        return found
    if _never(plan):
        return None
    for _ in range(DATES_MAX):
        if found is None or found > now + YEARS_MAX:
            return None
        try:
            if counts(plan, found, render):
                return found
        except ExpressionError:
            return None if certain else found
        found = plan.timetable.after(found)
    return None if certain else found


def last_before(plan: TriggerPlan, before: datetime, now: datetime, render: Render) -> datetime | None:
    """Return the last date before an instant that counts, None when there is none or it cannot be told."""
    assert plan.timetable is not None
    found = plan.timetable.before(before)
    if not plan.conditional or found is None:
        return found
    for _ in range(DATES_MAX):
        if found is None or found < now - YEARS_MAX:
            return None
        try:
            if counts(plan, found, render):
                return found
        except ExpressionError:
            return None
        found = plan.timetable.before(found)
    return None


def schedule_variables(
    plan: TriggerPlan, slot: datetime, following: datetime | None, now: datetime, render: Render
) -> dict[str, Any]:
    """Return `trigger.date`, `next` and `previous` of a date, in the trigger's zone."""
    previous = last_before(plan, slot, now, render)
    dates = {"date": slot, "next": following, "previous": previous}
    return {name: written(plan, date.astimezone(UTC)) for name, date in dates.items() if date is not None}


def _never(plan: TriggerPlan) -> bool:
    """Tell whether `when` is a constant that is false: then there is nothing to look for."""
    when = plan.trigger.when
    return when is not None and "{" not in str(when) and not when_holds(when, {}, lambda text, _: text)
