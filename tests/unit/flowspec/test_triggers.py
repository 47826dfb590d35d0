"""Rules of triggers: each refuses what it names, at the place where it stands."""

from __future__ import annotations

import pytest

from tiercel.errors import Problem
from tiercel.flowspec.parse import check_flow
from tiercel.flowspec.triggerrule import is_zone
from tiercel.schedule.cron import cron_problem

ON_A = "type: io.kestra.plugin.core.trigger.Flow, dependsOn: [{flowId: a, namespace: b}]"


def problems(trigger: str) -> list[Problem]:
    """What is wrong with a flow that has this trigger."""
    task = "{id: p, type: io.kestra.plugin.core.flow.Pause}"
    return list(check_flow(f"id: a\nnamespace: team\ntriggers: [{trigger}]\ntasks: [{task}]\n").problems)


@pytest.mark.parametrize(
    ("trigger", "path", "sentence"),
    [
        (
            "type: io.kestra.plugin.core.http.Trigger, uri: http://a, interval: PT0S",
            "interval",
            "must be longer than nothing",
        ),
        (
            "type: io.kestra.plugin.core.trigger.ScheduleOnDates, dates: [soon]",
            "dates[0]",
            "'soon' is not a date with time; write it as '2024-12-31T23:59:59Z'.",
        ),
        (
            "type: io.kestra.plugin.core.trigger.ScheduleOnDates, dates: ['9999-12-31T00:00:00Z']",
            "dates[0]",
            "'9999-12-31T00:00:00Z' lies outside the years 2 to 9998.",
        ),
        (f"{ON_A}, window: {{every: PT0S}}", "window.every", "must be longer than nothing"),
        (f"{ON_A}, window: {{lookback: P9999D}}", "window.lookback", "must not be longer than 3660 days"),
        (f"{ON_A}, window: {{every: PT1H, offset: -P9999D}}", "window.offset", "must not be longer than 3660 days"),
        (
            f"{ON_A}, window: {{deadline: '09:00:00'}}, onMiss: {{behavior: WARN}}",
            "onMiss.behavior",
            "must be one of FAIL, but is 'WARN'",
        ),
    ],
)
def test_triggers_that_could_never_be_asked_are_refused(trigger: str, path: str, sentence: str) -> None:
    """Where they stand, when the flow is saved."""
    (problem,) = problems(f"{{id: t, {trigger}}}")

    assert (f"triggers[0].{path}", sentence) == (problem.path, problem.message)


@pytest.mark.parametrize(
    ("trigger", "sentence"),
    [
        ("{id: t, type: io.kestra.plugin.core.trigger.Schedule, cron: 61 * * * *}", "invalid cron expression"),
        (
            "{id: t, type: io.kestra.plugin.core.trigger.Schedule, cron: '@daily', timezone: Mars/One}",
            "not a valid time-zone ID",
        ),
        ("{id: t, type: io.kestra.plugin.core.trigger.Schedule, cron: '@daily', interval: PT1S}", "must be null"),
        ("{id: t, type: io.kestra.plugin.core.trigger.Webhook, key: ''}", "must not be empty"),
        ("{id: t, type: io.kestra.plugin.core.trigger.Webhook, key: k, responseContentType: a/b}", "must be either"),
        (
            "{id: t, type: io.kestra.plugin.core.trigger.Flow, mode: AT_LEAST, dependsOn: [{namespace: x}]}",
            "`minSatisfied` must be set when mode is AT_LEAST",
        ),
        (
            "{id: t, type: io.kestra.plugin.core.trigger.Flow, mode: AT_LEAST, minSatisfied: 2, "
            "dependsOn: [{flowId: x}]}",
            "`minSatisfied` cannot be greater than the number of `dependsOn` conditions (1)",
        ),
        (
            "{id: t, type: io.kestra.plugin.core.trigger.Flow, window: {lookback: PT1H, offset: PT1M}}",
            "Window of type `SLIDING_WINDOW` cannot have an offset.",
        ),
        (
            "{id: t, type: io.kestra.plugin.core.trigger.Schedule, cron: '@daily', lateMaximumDelay: PT-5M}",
            "must be a positive duration",
        ),
        (
            "{id: t, type: io.kestra.plugin.core.trigger.Flow, window: {deadline: '10:00', every: PT1H}}",
            "Window of type `DAILY_TIME_DEADLINE` cannot have an every duration.",
        ),
    ],
)
def test_triggers_that_cannot_work_are_refused(trigger: str, sentence: str) -> None:
    """Each rule on triggers has its sentence."""
    found = [problem.message for problem in problems(trigger)]

    assert any(sentence in message for message in found), found


@pytest.mark.parametrize(
    ("cron", "seconds", "valid"),
    [
        ("*/5 9-17 * * MON-FRI", False, True),
        ("0 9 * * 7", False, True),
        ("@hourly", False, True),
        ("* * * * * *", True, True),
        ("* * * * * *", False, False),
        ("* * * *", False, False),
        ("0 9 * * 8", False, False),
    ],
)
def test_cron_expressions_have_five_fields_or_six_with_seconds(cron: str, seconds: bool, valid: bool) -> None:
    """Nicknames are fine too."""
    assert valid is (cron_problem(cron, with_seconds=seconds) is None)


def test_time_zones_are_regions_or_offsets() -> None:
    """A path to a file is neither."""
    valid = ["Europe/Paris", "+02:00", "UTC+2", "GMT-03:30", "UT", "+2"]

    assert valid == [name for name in (*valid, "../etc", "Nowhere", "Foo/Bar") if is_zone(name)]


def test_the_number_of_a_trigger_without_dependencies_is_not_compared() -> None:
    """It waits for none of them either way."""
    assert [] == problems("{id: t, type: io.kestra.plugin.core.trigger.Flow, mode: AT_LEAST, minSatisfied: 2}")


def test_a_cron_expression_is_judged_although_the_trigger_has_no_name() -> None:
    """An author hears of both at once."""
    found = [problem.path for problem in problems("{type: io.kestra.plugin.core.trigger.Schedule, cron: '$ome Cr0n'}")]

    assert ["triggers[0].cron", "triggers[0].id"] == found
