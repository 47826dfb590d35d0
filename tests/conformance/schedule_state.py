"""States of triggers in scenarios: as cases write them, as the store holds them, and what is expected of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tests.conformance.result import Mismatch
from tests.conformance.schedule_flow import expect
from tests.conformance.values import instant
from tiercel.model.trigger_state import Backfill, TriggerState

FIELDS: Final = {
    "date": "evaluated_at",
    "evaluatedAt": "evaluated_at",
    "nextExecutionDate": "next_evaluation_date",
    "nextEvaluationDate": "next_evaluation_date",
    "executionId": "execution_id",
    "workerId": "worker_id",
    "disabled": "disabled",
    "locked": "locked",
    "kind": "kind",
    "backfill": "backfill",
}
DATES: Final = {"evaluated_at", "next_evaluation_date"}
BACKFILL: Final = {
    "start": "start",
    "end": "end",
    "currentDate": "current_date",
    "paused": "paused",
    "previousNextExecutionDate": "previous_next_execution_date",
}


def expect_value(where: str, found: Any, claim: Any) -> None:
    """Check a field of a state: dates compare as instants; a claim is a value, bounds by name, or fields of a part."""
    if isinstance(claim, Mapping):
        for name, wanted in claim.items():
            if name in BOUNDS:
                if not BOUNDS[name](found, wanted):
                    raise Mismatch(f"{where} is {found}, expected {name} {wanted}")
            else:
                expect_value(f"{where}.{name}", found.get(name) if isinstance(found, Mapping) else None, wanted)
    elif isinstance(claim, str) and isinstance(found, datetime):
        expect(where, instant(claim), found)
    else:
        expect(where, claim, found)


def at(text: Any) -> datetime:
    """Return the instant that a case names."""
    return text if isinstance(text, datetime) else instant(str(text))


BOUNDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "any_of": lambda found, dates: any(at(date) == found for date in dates),
    "after": lambda found, date: found is not None and found > at(date),
    "at_least": lambda found, date: found is not None and found >= at(date),
    "at_most": lambda found, date: found is not None and found <= at(date),
    "day_of_week": lambda found, day: found is not None and found.strftime("%A").upper() == day,
    "not_null": lambda found, wanted: (found is not None) == wanted,
}
"""What a case may say of a value without naming it."""


def view_of(state: TriggerState) -> dict[str, Any]:
    """Return a state by the names that cases use."""
    view = {name: getattr(state, field) for name, field in FIELDS.items()}
    if state.backfill is not None:
        view["backfill"] = {name: getattr(state.backfill, field) for name, field in BACKFILL.items()}
    return view


def state_fields(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the fields of a state as the store holds them; a backfill without an end ends now."""
    fields: dict[str, Any] = {}
    for name, value in (given or {}).items():
        field = FIELDS[name]
        if field == "backfill" and value is not None:
            start = instant(value["start"]).astimezone(UTC)
            fields[field] = Backfill(
                start=start,
                end=(instant(value["end"]) if "end" in value else now).astimezone(UTC),
                current_date=instant(value["currentDate"]).astimezone(UTC) if "currentDate" in value else start,
                paused=value.get("paused", False),
            )
        else:
            fields[field] = instant(value).astimezone(UTC) if field in DATES and value is not None else value
    return fields
