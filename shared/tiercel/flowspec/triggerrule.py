"""The rules of triggers: cron expressions, time zones, windows, filters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from tiercel.condition.moment import read_moment
from tiercel.condition.window import LENGTH_MAX
from tiercel.errors import ExpressionError
from tiercel.expression import java_regex
from tiercel.flowspec.findings import NOT_POSITIVE, Findings
from tiercel.flowspec.yaml import Path
from tiercel.model.flow import Trigger
from tiercel.model.property import is_expression
from tiercel.plugins.base import PollingTrigger
from tiercel.plugins.core.condition.execution import MultipleCondition
from tiercel.plugins.core.trigger.flow import (
    DependencyMode,
    FilterType,
    FlowTrigger,
    PreconditionFilter,
    TimeWindow,
    TimeWindowType,
    Window,
)
from tiercel.plugins.core.trigger.schedule import Schedule, ScheduleOnDates
from tiercel.plugins.core.trigger.webhook import Webhook, WebhookTrigger
from tiercel.schedule.cron import InvalidCron, cron_problem, parse_cron
from tiercel.schedule.zone import InvalidZone, find_zone

CONTENT_TYPES: Final = ("application/json", "text/plain")
CRON_YEARS: Final = 28
"""Years after which every date falls on every day of the week again, leap days too."""
_ANY_TIME: Final = datetime(2000, 1, 1)
_CAMEL: Final = {"window_advance": "windowAdvance"}
_LISTS: Final = (FilterType.IN, FilterType.NOT_IN)

_FORBIDDEN: Final[dict[TimeWindowType, tuple[str, ...]]] = {
    TimeWindowType.DAILY_TIME_DEADLINE: ("window", "window_advance", "start_time", "end_time"),
    TimeWindowType.DAILY_TIME_WINDOW: ("window", "window_advance", "deadline"),
    TimeWindowType.DURATION_WINDOW: ("deadline", "start_time", "end_time"),
    TimeWindowType.SLIDING_WINDOW: ("deadline", "start_time", "end_time", "window_advance"),
}
_NEEDED: Final[dict[TimeWindowType, tuple[str, ...]]] = {
    TimeWindowType.DAILY_TIME_DEADLINE: ("deadline",),
    TimeWindowType.DAILY_TIME_WINDOW: ("start_time", "end_time"),
    TimeWindowType.SLIDING_WINDOW: ("window",),
}
_SAID: Final = {
    "window": "a window",
    "window_advance": "a window advance",
    "start_time": "a start time",
    "end_time": "an end time",
    "deadline": "a deadline",
    "from_": "a from time",
    "to": "a to time",
    "every": "an every duration",
    "offset": "an offset",
    "lookback": "a lookback duration",
}


def check_trigger(trigger: Trigger, path: Path, findings: Findings) -> None:
    """Check one trigger."""
    match trigger:
        case Schedule() | ScheduleOnDates():
            _check_schedule(trigger, path, findings)
        case WebhookTrigger():
            _check_webhook(trigger, path, findings)
        case PollingTrigger() if trigger.interval <= timedelta():
            findings.at((*path, "interval"), "must be longer than nothing")
        case FlowTrigger():
            _check_flow_trigger(trigger, path, findings)
        case _:
            pass
    for index, condition in enumerate(trigger.conditions):
        if isinstance(condition, MultipleCondition) and condition.time_window is not None:
            for message in time_window_problems(condition.time_window):
                findings.at((*path, "conditions", index, "timeWindow"), message)


def _check_schedule(trigger: Schedule | ScheduleOnDates, path: Path, findings: Findings) -> None:
    if trigger.interval is not None:
        findings.at((*path, "interval"), "must be null")
    if trigger.timezone is not None:
        refusal = zone_problem(trigger.timezone)
        if refusal is not None:
            findings.at((*path, "timezone"), refusal)
    if isinstance(trigger, ScheduleOnDates) and isinstance(trigger.dates, list):
        for index, text in enumerate(trigger.dates):
            if "{{" not in str(text):
                try:
                    read_moment(str(text))
                except ExpressionError as error:
                    findings.at((*path, "dates", index), str(error))
    if isinstance(trigger, Schedule):
        if trigger.late_maximum_delay is not None and trigger.late_maximum_delay <= timedelta():
            findings.of_newer_rule((*path, "lateMaximumDelay"), NOT_POSITIVE)
        message = cron_problem(trigger.cron, with_seconds=trigger.with_seconds)
        said = cron_problem(trigger.cron) is not None and not is_expression(trigger.cron)
        if message is not None and not said:
            findings.at((*path, "cron"), message)


def zone_problem(name: str) -> str | None:
    """Tell what is wrong with a time zone, None when nothing is."""
    return None if is_zone(name) else f"timezone '{name}' is not a valid time-zone ID"


def is_zone(name: str) -> bool:
    """Tell whether a time zone is known: a region, or an offset such as `+02:00` or `UTC+2`."""
    try:
        find_zone(name)
    except InvalidZone:
        return False
    return True


def never_fires(trigger: Schedule) -> bool:
    """Tell whether no date at all meets the cron expression, as with 30 February."""
    try:
        cron = parse_cron(trigger.cron, with_seconds=trigger.with_seconds)
    except InvalidCron:
        return False
    return cron.first_from(_ANY_TIME, _ANY_TIME.replace(year=_ANY_TIME.year + CRON_YEARS)) is None


def _check_webhook(trigger: WebhookTrigger, path: Path, findings: Findings) -> None:
    if any(isinstance(condition, MultipleCondition) for condition in trigger.conditions):
        findings.at(path, "invalid webhook: conditions of type MultipleCondition are not supported")
    if isinstance(trigger, Webhook) and trigger.response_content_type not in (None, *CONTENT_TYPES):
        message = f"invalid webhook: responseContentType must be either {' or '.join(map(repr, CONTENT_TYPES))}"
        findings.at((*path, "responseContentType"), message)


def _check_flow_trigger(trigger: FlowTrigger, path: Path, findings: Findings) -> None:
    if trigger.mode is DependencyMode.AT_LEAST:
        if trigger.min_satisfied is None:
            findings.at((*path, "minSatisfied"), "`minSatisfied` must be set when mode is AT_LEAST")
        elif trigger.depends_on and trigger.min_satisfied > len(trigger.depends_on):
            count = len(trigger.depends_on)
            message = f"`minSatisfied` cannot be greater than the number of `dependsOn` conditions ({count})"
            findings.at((*path, "minSatisfied"), message)
    if trigger.window is not None:
        for message in window_problems(trigger.window):
            findings.at((*path, "window"), message)
        for name, message in length_problems(trigger.window):
            findings.at((*path, "window", name), message)
        zone = trigger.window.timezone
        refusal = zone_problem(zone) if zone is not None else None
        if refusal is not None:
            findings.at((*path, "window", "timezone"), refusal)
    if trigger.preconditions is None:
        return
    if trigger.preconditions.time_window is not None:
        for message in time_window_problems(trigger.preconditions.time_window):
            findings.at((*path, "preconditions", "timeWindow"), message)
        for name, message in length_problems(trigger.preconditions.time_window):
            findings.at((*path, "preconditions", "timeWindow", _CAMEL.get(name, name)), message)
    for at, where in enumerate(trigger.preconditions.where):
        for index, each in enumerate(where.filters):
            message_or_none = filter_problem(each)
            if message_or_none is not None:
                findings.at((*path, "preconditions", "where", at, "filters", index), message_or_none)


def time_window_problems(window: TimeWindow) -> Iterator[str]:
    """
    Yield what a window of preconditions lacks, and what its type cannot have.

    A daily window with a length is told of the deadline, too, as by Kestra's TimeWindowValidation.
    """
    kind = window.type
    yield from _window_problems(window, "Time window", kind, _NEEDED.get(kind, ()), _FORBIDDEN.get(kind, ()))
    if kind is TimeWindowType.DAILY_TIME_WINDOW and window.window is not None and window.deadline is None:
        yield f"Time window of type `{kind}` cannot have {_SAID['deadline']}."


def window_problems(window: Window) -> Iterator[str]:
    """Yield what a window lacks, and what its type, told by its first property, cannot have."""
    properties = ("deadline", "from_", "to", "every", "offset", "lookback")
    needed: tuple[str, ...]
    if window.deadline is not None:
        kind, needed, own = TimeWindowType.DAILY_TIME_DEADLINE, ("deadline",), {"deadline"}
    elif window.from_ is not None or window.to is not None:
        kind, needed, own = TimeWindowType.DAILY_TIME_WINDOW, ("from_", "to"), {"from_", "to"}
    elif window.lookback is not None and window.every is None:
        kind, needed, own = TimeWindowType.SLIDING_WINDOW, ("lookback",), {"lookback"}
    else:
        kind, needed, own = TimeWindowType.DURATION_WINDOW, (), {"every", "offset"}
    yield from _window_problems(window, "Window", kind, needed, tuple(name for name in properties if name not in own))


def _window_problems(
    window: Window | TimeWindow, noun: str, kind: str, needed: tuple[str, ...], forbidden: tuple[str, ...]
) -> Iterator[str]:
    for name in needed:
        if getattr(window, name) is None:
            yield f"{noun} of type `{kind}` must have {_SAID[name]}."
    for name in forbidden:
        if getattr(window, name) is not None:
            yield f"{noun} of type `{kind}` cannot have {_SAID[name]}."


def length_problems(window: Window | TimeWindow) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the lengths of a window: nothing, or longer than any window is watched."""
    lengths = ("every", "lookback") if isinstance(window, Window) else ("window",)
    shifts = ("offset",) if isinstance(window, Window) else ("window_advance",)
    for name in (*lengths, *shifts):
        length = getattr(window, name)
        if length is None:
            continue
        if name in lengths and length <= timedelta():
            yield name, "must be longer than nothing"
        elif abs(length) > LENGTH_MAX:
            yield name, f"must not be longer than {LENGTH_MAX.days} days"


def filter_problem(each: PreconditionFilter) -> str | None:
    """Tell what is wrong with a filter: lists are compared by IN and NOT_IN, single values by all others."""
    if each.type in _LISTS:
        if each.value is not None:
            return f"`value` must be null for type {each.type}"
        return f"`values` cannot be null for type {each.type}" if each.values is None else None
    if each.value is None:
        return f"`value` cannot be null for type {each.type}"
    if each.type is FilterType.REGEX and "{{" not in each.value:
        try:
            java_regex.compiled(each.value)
        except ValueError as error:
            return str(error)
    return f"`values` must be null for type {each.type}" if each.values is not None else None
