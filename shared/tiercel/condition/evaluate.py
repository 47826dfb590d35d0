"""
Whether a condition of the 1.x dialect holds (reference 5.5), and whether `when` of the 2.x dialect does.

Pure: rendering is a callable. A condition that cannot be evaluated raises ExpressionError; what that means, the caller
decides: a schedule makes an execution FAILED, a flow trigger does not fire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Any, Final

import msgspec

from tiercel.condition.moment import offset_time, read_day, read_moment, read_offset_time
from tiercel.errors import ExpressionError
from tiercel.expression.truth import is_not_false, means_true
from tiercel.model.execution import Execution, TaskRun
from tiercel.model.state import State
from tiercel.model.task import Condition
from tiercel.plugins.core.condition import date as on_date
from tiercel.plugins.core.condition import execution as on_execution

Render = Callable[[str, Mapping[str, Any]], str]
"""Renders a text with variables; raises ExpressionError."""

COUNTRY_DEFAULT: Final = "US"
"""Kestra takes the country of its own locale, which is en_US unless it is configured."""


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The execution that a condition asks about."""

    namespace: str
    flow_id: str
    state: State
    labels: Mapping[str, str] = {}
    outputs: Mapping[str, Any] | None = None
    attempts: tuple[tuple[State, ...], ...] = ()
    """The states of each task run's attempts."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about: the flow that listens, an execution if there is one, and the variables of expressions."""

    namespace: str
    flow_id: str
    variables: Mapping[str, Any]
    execution: Upstream | None = None
    met: Callable[[on_execution.MultipleCondition], bool] | None = None
    """Tells whether a multiple condition is met in its window; without it none is."""
    zone: tzinfo = UTC


def upstream_of(execution: Execution, runs: Sequence[TaskRun] = ()) -> Upstream:
    """Return what conditions may ask of an execution."""
    labels: dict[str, str] = {}
    for key, value in execution.labels:
        labels.setdefault(key, value)
    return Upstream(
        namespace=execution.namespace,
        flow_id=execution.flow_id,
        state=execution.state,
        labels=labels,
        outputs=execution.outputs,
        attempts=tuple(tuple(attempt.state for attempt in run.attempts) for run in runs),
    )


def when_holds(when: Any, variables: Mapping[str, Any], render: Render) -> bool:
    """Tell whether a trigger's `when` holds; one that is not given does."""
    if when is None:
        return True
    if isinstance(when, bool):
        return when
    return means_true(render(str(when), variables))


def all_hold(conditions: Sequence[Condition], subject: Subject, render: Render) -> bool:
    """Tell whether every condition holds."""
    return all(holds(condition, subject, render) for condition in conditions)


def holds(condition: Condition, subject: Subject, render: Render) -> bool:
    """Tell whether a condition holds for the subject; raise ExpressionError when it cannot be told."""
    match condition:
        case on_execution.Not():
            return not any(holds(inner, subject, render) for inner in condition.conditions)
        case on_execution.Or():
            return any(holds(inner, subject, render) for inner in condition.conditions)
        case on_execution.Expression():
            return is_not_false(render(condition.expression, subject.variables))
        case on_execution.MultipleCondition():
            return subject.met is not None and subject.met(condition)
        case on_execution.FlowCondition():
            return (subject.namespace, subject.flow_id) == (condition.namespace, condition.flow_id)
        case on_execution.FlowNamespaceCondition():
            if condition.prefix:
                return subject.namespace.startswith(condition.namespace)
            return subject.namespace == condition.namespace
    if type(condition) in _ON_EXECUTION:
        return _execution_holds(condition, subject, render)
    return _date_holds(condition, subject, render)


_ON_EXECUTION: Final = (
    on_execution.ExecutionFlow,
    on_execution.ExecutionNamespace,
    on_execution.ExecutionLabels,
    on_execution.ExecutionStatus,
    on_execution.ExecutionOutputs,
    on_execution.HasRetryAttempt,
)


def _execution_holds(condition: Condition, subject: Subject, render: Render) -> bool:
    execution = subject.execution
    if execution is None:
        name = type(condition).__name__
        raise ExpressionError(f"The condition '{name}' asks about an execution, and there is none here.")
    match condition:
        case on_execution.ExecutionFlow():
            return (execution.namespace, execution.flow_id) == (condition.namespace, condition.flow_id)
        case on_execution.ExecutionNamespace():
            return _namespace_holds(condition, execution.namespace, subject, render)
        case on_execution.ExecutionLabels():
            wanted = label_pairs(condition.labels, subject.variables, render)
            return all(execution.labels.get(key) == _text(value, subject, render) for key, value in wanted)
        case on_execution.ExecutionStatus():
            return _state_chosen(execution.state, condition.in_, condition.not_in, subject, render)
        case on_execution.ExecutionOutputs():
            if not execution.outputs:
                return False
            trigger = {**(subject.variables.get("trigger") or {}), "outputs": execution.outputs}
            return is_not_false(render(condition.expression, {**subject.variables, "trigger": trigger}))
        case on_execution.HasRetryAttempt():
            tried = [state for attempts in execution.attempts if len(attempts) > 1 for state in attempts]
            return any(_state_chosen(state, condition.in_, condition.not_in, subject, render) for state in tried)
    raise AssertionError(f"No rule for the condition '{condition.type}'.")


def _namespace_holds(
    condition: on_execution.ExecutionNamespace, namespace: str, subject: Subject, render: Render
) -> bool:
    wanted = _text(condition.namespace, subject, render)
    prefix = _text(condition.prefix, subject, render) == "true"
    default = on_execution.Comparison.PREFIX if prefix else on_execution.Comparison.EQUALS
    chosen = _text(condition.comparison, subject, render) if condition.comparison is not None else str(default)
    match chosen:
        case on_execution.Comparison.PREFIX:
            return namespace.startswith(wanted)
        case on_execution.Comparison.SUFFIX:
            return namespace.endswith(wanted)
        case on_execution.Comparison.EQUALS:
            return namespace == wanted
        case _:
            raise ExpressionError(f"'{chosen}' is no comparison; it is EQUALS, PREFIX or SUFFIX.")


def _state_chosen(state: State, included: Any, excluded: Any, subject: Subject, render: Render) -> bool:
    wanted, refused = _states(included, subject, render), _states(excluded, subject, render)
    return (wanted is None or state.value in wanted) and (refused is None or state.value not in refused)


def _states(value: Any, subject: Subject, render: Render) -> set[str] | None:
    if value is None:
        return None
    if isinstance(value, str):
        text = _text(value, subject, render)
        value = msgspec.json.decode(text) if text.startswith("[") else [text]
    return {_text(item, subject, render) for item in value}


def _date_holds(condition: Condition, subject: Subject, render: Render) -> bool:
    match condition:
        case on_date.DateTimeBetween():
            moment = read_moment(_text(condition.date, subject, render), subject.zone)
            after, before = (_moment(value, subject, render) for value in (condition.after, condition.before))
            return (after is None or moment > after) and (before is None or moment < before)
        case on_date.TimeBetween():
            at = offset_time(read_moment(_text(condition.date, subject, render), subject.zone))
            low = read_offset_time(_text(condition.after, subject, render)) if condition.after is not None else None
            high = read_offset_time(_text(condition.before, subject, render)) if condition.before is not None else None
            return (low is None or at > low) and (high is None or at < high)
        case on_date.DayWeek():
            return _weekday(_day(condition.date, subject, render)) == _text(condition.day_of_week, subject, render)
        case on_date.DayWeekInMonth():
            day = _day(condition.date, subject, render)
            if _weekday(day) != _text(condition.day_of_week, subject, render):
                return False
            return _is_nth(day, _text(condition.day_in_month, subject, render))
        case on_date.Weekend():
            return _day(condition.date, subject, render).weekday() >= 5
        case on_date.PublicHoliday():
            country = _text(condition.country, subject, render) if condition.country is not None else COUNTRY_DEFAULT
            part = _text(condition.sub_division, subject, render) if condition.sub_division is not None else None
            return is_public_holiday(_day(condition.date, subject, render), country, part)
    raise ExpressionError(f"The condition type '{condition.type}' is not known here.")


def is_public_holiday(day: date, country: str, sub_division: str | None = None) -> bool:
    """Tell whether a day is a public holiday of a country (ISO 3166 code) or a part of it."""
    return day in _holidays(country.upper(), sub_division.upper() if sub_division else None, day.year)


@lru_cache(maxsize=64)
def _holidays(country: str, sub_division: str | None, year: int) -> frozenset[date]:
    import holidays  # noqa: PLC0415 - it is large, and few flows ask

    try:
        return frozenset(holidays.country_holidays(country, subdiv=sub_division, years=year))
    except (NotImplementedError, TypeError) as error:  # unknown to the library, or the name of something else in it
        where = country if sub_division is None else f"{country}-{sub_division}"
        raise ExpressionError(f"Public holidays of '{where}' are not known.") from error


def _is_nth(day: date, which: str) -> bool:
    if which == on_date.DayInMonth.LAST:
        following = date.fromordinal(day.toordinal() + 7)
        return following.month != day.month
    order = ("FIRST", "SECOND", "THIRD", "FOURTH")
    if which not in order:
        raise ExpressionError(f"'{which}' is no place in a month; it is FIRST, SECOND, THIRD, FOURTH or LAST.")
    return (day.day - 1) // 7 == order.index(which)


def _weekday(day: date) -> str:
    return list(on_date.DayOfWeek)[day.weekday()].value


def _day(value: str, subject: Subject, render: Render) -> date:
    return read_day(_text(value, subject, render))


def _moment(value: str | None, subject: Subject, render: Render) -> datetime | None:
    return read_moment(_text(value, subject, render), subject.zone) if value is not None else None


def _text(value: Any, subject: Subject, render: Render) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return render(str(value), subject.variables)


def label_pairs(labels: Any, variables: Mapping[str, Any], render: Render) -> list[tuple[str, Any]]:
    """
    Return labels that are written as a map, as a list of key and value, or as an expression that gives either as JSON.

    Values are still to be rendered. Raises ExpressionError for anything else.
    """
    if isinstance(labels, str):
        text = render(labels, variables)
        try:
            labels = msgspec.json.decode(text.encode())
        except ValueError as error:
            raise ExpressionError(f"Labels must be JSON where they are a text, but '{text[:200]}' is not.") from error
    if labels is None:
        return []
    if isinstance(labels, Mapping):
        return [(str(key), value) for key, value in labels.items()]
    if not isinstance(labels, list | tuple) or any(not isinstance(each, Mapping) for each in labels):
        raise ExpressionError("Labels must be a map, or a list of maps with 'key' and 'value'.")
    return [(str(each["key"]), each.get("value")) for each in labels if each.get("key") is not None]
