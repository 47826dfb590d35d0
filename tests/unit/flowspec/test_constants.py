"""Constants that can only fail when they are used: refused or warned of where they stand, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tiercel.flowspec.parse import Outside, Report, check_flow, parse_flow
from tiercel.model.task import Objection
from tiercel.plugins.core.log.log import Log

CORE = "io.kestra.plugin.core"
SHELL = "io.kestra.plugin.scripts.shell.Commands"
DOCKER = "io.kestra.plugin.scripts.runner.docker.Docker"
LOG = f"{{id: l, type: {CORE}.log.Log, message: x}}"
KEY = "Key must start with an alphanumeric character"


def of_task(task: str) -> Report:
    return check_flow(f"id: a\nnamespace: team\ntasks:\n- {{id: t, type: {task}}}\n")


def of_condition(condition: str, at: str = "conditions") -> Report:
    trigger = (
        f"{{id: t, type: {CORE}.trigger.Schedule, cron: '@daily', {at}: [{{type: {CORE}.condition.{condition}}}]}}"
    )
    return check_flow(f"id: a\nnamespace: team\ntasks: [{LOG}]\ntriggers: [{trigger}]\n")


@pytest.mark.parametrize(
    ("task", "path", "sentence"),
    [
        (f"{CORE}.kv.Set, key: 'a b', value: x", "key", f"'a b' is no key: {KEY}"),
        (f"{CORE}.kv.Get, key: _a", "key", KEY),
        (f"{CORE}.kv.Delete, key: a/b", "key", KEY),
        (f"{CORE}.kv.Put, key: é, value: x", "key", KEY),
        (f"{CORE}.kv.Set, key: k, value: many, kvType: NUMBER", "value", "It cannot be stored as NUMBER: "),
        (f"{CORE}.kv.Set, key: k, value: soon, kvType: DATETIME", "value", "is no datetime; write it as '2026-01-31T"),
        (f"{CORE}.kv.Set, key: k, value: '2026-02-30', kvType: DATE", "value", "is no date; write it as '2026-01-31'"),
        (f"{CORE}.kv.Set, key: k, value: 5m, kvType: DURATION", "value", "'5m' is not a duration"),
        (f"{CORE}.kv.Set, key: k, value: '{{a', kvType: JSON", "value", "is not JSON"),
        (f"{CORE}.storage.Split, from: a", "", "Nothing says how the file is to be split; set one of"),
        (f"{CORE}.storage.Split, from: a, regexPattern: a+", "regexPattern", "'a+' needs a group, whose text decides"),
        (f"{CORE}.storage.Split, from: a, regexPattern: '(a'", "regexPattern", "The pattern '(a' is not valid"),
        (f"{CORE}.kv.PurgeKV, namespaces: [a], namespacePattern: b", "", "'namespaces' and 'namespacePattern' exclude"),
        (f"{CORE}.flow.PurgeFlows, behavior: {{keepAmount: 0}}", "behavior.keepAmount", "must be at least 1, but is 0"),
        (
            f"{SHELL}, commands: [a], taskRunner: {{type: {DOCKER}, portBindings: ['8080']}}",
            "taskRunner.portBindings[0]",
            "'8080' does not bind a port; write 'outside:inside'",
        ),
        (f"{CORE}.namespace.UploadFiles", "", "At least one of 'files' and 'filesMap' must be set."),
        (
            f"{CORE}.http.Request, uri: a/b",
            "uri",
            "'a/b' is not an address of HTTP; write one that begins with 'http://'",
        ),
        (f"{CORE}.http.Download, uri: www.example.com", "uri", "is not an address of HTTP"),
        (f"{CORE}.http.SseRequest, uri: 'http:///a'", "uri", "is not an address of HTTP"),
        (
            f"{CORE}.http.Request, uri: http://a, options: {{proxy: {{type: HTTP, address: b, port: 99999}}}}",
            "options.proxy.port",
            "must be 1 to 65535, but is 99999",
        ),
        (
            f"{CORE}.http.Request, uri: http://a, options: {{proxyType: HTTP, proxyAddress: b, proxyPort: '-1'}}",
            "options.proxyPort",
            "must be 1 to 65535, but is -1",
        ),
        (f"{CORE}.metric.Publish, metrics: [a]", "metrics[0]", "must be a map with 'name' and 'value'"),
        (f"{CORE}.metric.Publish, metrics: [{{type: counter, name: a}}]", "metrics[0]", "needs a 'name' and a 'value'"),
        (
            f"{CORE}.metric.Publish, metrics: [{{type: speed, name: a, value: 1}}]",
            "metrics[0].type",
            "must be one of counter, timer, gauge, but is 'speed'",
        ),
        (
            f"{CORE}.metric.Publish, metrics: [{{type: timer, name: a, value: long}}]",
            "metrics[0].value",
            "must be a duration such as 'PT1.5S', but is 'long'",
        ),
        (f"{CORE}.metric.Publish, metrics: [{{name: a, value: few}}]", "metrics[0].value", "must be a number"),
        (
            f"{CORE}.metric.Publish, metrics: [{{name: a, value: 1, tags: b}}]",
            "metrics[0].tags",
            "must be a map of texts",
        ),
        (
            f"{SHELL}, commands: [a], inputFiles: {{../a: b}}",
            "inputFiles.../a",
            "is not a path inside the task's folder",
        ),
        (f'{SHELL}, commands: [a], inputFiles: \'{{"a/../b": "c"}}\'', "inputFiles.a/../b", "is not a path inside"),
        (f"{SHELL}, commands: [a], inputFiles: {{/a: b}}", "inputFiles./a", "is not a path inside the task's folder"),
        (
            f"{CORE}.flow.WorkingDirectory, inputFiles: {{..: b}}, tasks: [{LOG}]",
            "inputFiles...",
            "is not a path inside the task's folder",
        ),
        (
            f"{SHELL}, commands: [a], taskRunner: {{type: {DOCKER}, memory: {{memory: plenty}}}}",
            "taskRunner.memory.memory",
            "'plenty' is not a size; write it as '10MB'",
        ),
        (
            f"{SHELL}, commands: [a], taskRunner: {{type: {DOCKER}, memory: {{memorySwap: -5MB}}}}",
            "taskRunner.memory.memorySwap",
            "'-5MB' is not a size",
        ),
        (
            f"{SHELL}, commands: [a], taskRunner: {{type: {DOCKER}, cpu: {{cpus: -1.5}}}}",
            "taskRunner.cpu.cpus",
            "must not be negative, but is -1.5",
        ),
        (
            f"{SHELL}, commands: [a], runner: DOCKER, docker: {{image: b, shmSize: 1 GBit}}",
            "docker.shmSize",
            "'1 GBit' is not a size",
        ),
        (
            f"{CORE}.flow.Subflow, namespace: b, flowId: c, labels: d",
            "labels",
            "must be a map, or a list of maps with 'key'",
        ),
        (f"{CORE}.flow.Subflow, namespace: b, flowId: c, labels: '[1]'", "labels", "must be a map, or a list of maps"),
    ],
)
def test_constants_that_can_only_fail_are_refused_where_they_stand(task: str, path: str, sentence: str) -> None:
    """When the flow is saved; one that was saved before is read with a warning, and still runs."""
    where = f"tasks[0].{path}" if path else "tasks[0]"

    (problem,) = of_task(task).problems

    assert (where, True) == (problem.path, sentence in problem.message), problem
    text = f"id: a\nnamespace: team\ntasks:\n- {{id: t, type: {task}}}\n"
    assert sentence in " ".join(check_flow(text, Outside(judges_constants=False)).warnings)
    assert "a" == parse_flow(text).id


@pytest.mark.parametrize(
    ("task", "warning"),
    [
        (
            f"{CORE}.flow.ForEach, values: abc, tasks: [{LOG}]",
            "values: must be a list, or one written as JSON, but is 'abc'",
        ),
        (f"{CORE}.flow.ForEach, values: 5, tasks: [{LOG}]", "values: must be a list, or one written as JSON, but is 5"),
        (f"{CORE}.flow.ForEach, values: [1, null], tasks: [{LOG}]", "values[1]: must not be null"),
        (
            f"{CORE}.flow.EachSequential, value: '\"a\"', tasks: [{LOG}]",
            "value: must be a list, or one written as JSON",
        ),
        (f"{CORE}.flow.EachParallel, value: '[1, null]', tasks: [{LOG}]", "value[1]: must not be null"),
        (f"{CORE}.flow.Loop, values: /a.ion, tasks: [{LOG}]", "values: must be a list, or one written as JSON"),
        (
            f"{CORE}.flow.ForEachItem, items: a.csv, namespace: b, flowId: c",
            "items: must be the URI of a file in internal storage, but is 'a.csv'",
        ),
        (f"{CORE}.flow.Subflow, namespace: Team, flowId: c", "namespace: No namespace can be called 'Team'"),
        (f"{CORE}.flow.Subflow, namespace: b, flowId: c/d", "flowId: No flow can be called 'c/d'"),
        (f"{CORE}.flow.Subflow, namespace: b, flowId: c, scheduleDate: soon", "scheduleDate: must be an ISO-8601 date"),
        (f"{CORE}.namespace.DownloadFiles, namespace: a b, files: c", "namespace: No namespace can be called 'a b'"),
        (f"{CORE}.kv.GetKeys, namespace: ../b", "namespace: No namespace can be called '../b'"),
        (f"{CORE}.storage.Reverse, from: a, charset: UTF-9", "charset: The charset 'UTF-9' is unknown."),
        (f"{SHELL}, commands: [a], outputFiles: [../b]", "outputFiles: '../b' leads out of the task's folder"),
        (
            f"{CORE}.flow.ForEachItem, items: 'kestra:///a', namespace: b, flowId: c, batch: {{regexPattern: d}}",
            "batch.regexPattern: The pattern 'd' needs a group",
        ),
        (f"{CORE}.storage.Write, content: a, extension: a/b", "extension: 'a/b' is not the extension of a file"),
        (
            f"{CORE}.execution.PurgeExecutions, endDate: '2026-01-01T00:00:00Z', flowId: a",
            "flowId: The property 'namespace' must be set when 'flowId' is.",
        ),
        ("io.kestra.plugin.scripts.python.Script, script: a, pythonVersion: new", "it must be a version such as 3.12."),
        (
            f"{SHELL}, commands: [a], outputFiles: out.csv",
            "outputFiles: must be a list, or one written as JSON, but is",
        ),
        (
            f"{SHELL}, commands: [a], inputFiles: [in.csv]",
            "inputFiles: must be a map, or one written as JSON, but is a list",
        ),
        (f"{SHELL}, commands: [a], inputFiles: in.csv", "inputFiles: must be a map, or one written as JSON, but is"),
        (
            f"{SHELL}, commands: [a], namespaceFiles: {{include: '**.sql'}}",
            "namespaceFiles.include: must be a list, or one written as JSON, but is '**.sql'",
        ),
        (f"{CORE}.storage.Concat, files: a", "files: must be a list, or one written as JSON, but is 'a'"),
        (f"{CORE}.storage.Concat, files: ['http://a']", "files: 'http://a' is not a URI of internal storage"),
        (f"{CORE}.storage.Size, uri: a/../b", "uri: The path 'a/../b' must not contain '..'."),
        (f"{CORE}.metric.Publish, metrics: a", "metrics: must be a list, or one written as JSON, but is 'a'"),
        (
            f"{CORE}.execution.Count, namespaces: [a], startDate: '2026-01-01', expression: a, states: FAILED",
            "states: must be a list, or one written as JSON, but is 'FAILED'",
        ),
        (
            f"{CORE}.log.Fetch, namespace: a, flowId: b",
            "'namespace' and 'flowId' name no execution; set 'executionId' too",
        ),
        (f"{CORE}.execution.Resume, namespace: a, executionId: b", "Both 'namespace' and 'flowId' must be set"),
        (f"{CORE}.log.Fetch, kestraUrl: here", "kestraUrl: 'here' is not an address of HTTP"),
        (f"{CORE}.state.Set, name: a b, data: {{a: 1}}", "name: 'a b' can be no part of a key: Key must start"),
        (f"{CORE}.templating.TemplatedTask, spec: 'a: ['", "spec: The rendered 'spec' is not YAML"),
        (f"{CORE}.templating.TemplatedTask, spec: 'type: {CORE}.flow.Pause'", "must be a runnable task"),
        (f"{CORE}.execution.Labels, labels: b", "labels: must be a map, or a list of maps with 'key' and 'value'"),
        (f"{CORE}.execution.Labels, labels: {{system.x: b}}", "offending label: system.x."),
        (f'{CORE}.execution.Labels, labels: \'[{{"key": "system.x"}}]\'', "offending label: system.x."),
    ],
)
def test_constants_that_a_flow_may_mean_to_fail_with_are_warned_of(task: str, warning: str) -> None:
    """Kestra takes them and fails when they are used, as Tiercel does: so the flow is valid."""
    report = of_task(task)

    assert () == report.problems
    (said,) = report.warnings
    assert said.startswith("tasks[0]")
    assert warning in said


@pytest.mark.parametrize(
    "task",
    [
        f"{CORE}.kv.Set, key: 'a.b-c_1', value: '12', kvType: NUMBER",
        f"{CORE}.kv.Set, key: 'a{{{{ vars.x }}}}', value: '{{{{ vars.y }}}}', kvType: DATE",
        f"{CORE}.kv.Set, key: 'a{{# why #}}', value: '2026-01-31T10:00:00+01:00[Europe/Paris]', kvType: DATETIME",
        f"{CORE}.kv.Set, key: k, value: 5, kvType: DATE",
        f"{CORE}.kv.Set, key: k, value: maybe, kvType: BOOLEAN",
        f"{CORE}.kv.Set, key: k, value: '2026-01-31', kvType: DATE",
        f"{CORE}.kv.Set, key: k, value: '[1, {{\"a\": null}}]', kvType: JSON",
        f"{CORE}.storage.Split, from: a, rows: '{{{{ vars.rows }}}}'",
        f"{CORE}.storage.Split, from: a, regexPattern: '(a)'",
        f"{CORE}.http.Request, uri: '{{{{ vars.host }}}}/a'",
        f"{CORE}.http.Request, uri: HTTPS://a.b",
        f"{CORE}.http.Request, uri: http://a, options: {{proxy: {{type: DIRECT, address: b, port: 0}}}}",
        f"{CORE}.http.Request, uri: http://a, options: {{proxy: {{type: HTTP, address: b}}}}",
        f"{CORE}.metric.Publish, metrics: [{{type: TIMER, name: a, value: PT1S}}, {{name: b, value: '{{{{ 1 }}}}'}}]",
        f"{CORE}.metric.Publish, metrics: '{{{{ vars.metrics }}}}'",
        f"{SHELL}, commands: [a], inputFiles: {{a/b..c: d, ./e: f}}, outputFiles: [/g, '**/*.csv', 'regex:.*/../h']",
        f"{SHELL}, commands: [a], inputFiles: '{{{{ inputs.files }}}}', outputFiles: '[\"a\"]'",
        f"{SHELL}, commands: [a], taskRunner: {{type: {DOCKER}, memory: {{memory: 1Gi, memorySwap: -1}}}}",
        f"{SHELL}, commands: [a], taskRunner: {{type: {DOCKER}, cpu: {{cpus: '0.5'}}, shmSize: '{{{{ vars.size }}}}'}}",
        f"{CORE}.flow.ForEach, values: '{{{{ inputs.list }}}}', tasks: [{LOG}]",
        f"{CORE}.flow.ForEach, values: '[\"a\", 1]', tasks: [{LOG}]",
        f"{CORE}.flow.ForEach, values: [], tasks: [{LOG}]",
        f"{CORE}.flow.Loop, values: {{a: 1}}, tasks: [{LOG}]",
        f"{CORE}.flow.Loop, values: 'kestra:///a.ion', tasks: [{LOG}]",
        f"{CORE}.flow.ForEachItem, items: 'kestra:///a', batch: {{separator: ','}}, namespace: b, flowId: c",
        f"{CORE}.flow.Subflow, namespace: '{{{{ flow.namespace }}}}', flowId: c, labels: [{{key: a, value: b}}]",
        f"{CORE}.flow.Subflow, namespace: b, flowId: c, labels: '{{{{ labels }}}}', scheduleDate: '2026-01-31'",
        f'{CORE}.execution.Labels, labels: \'{{"a": "b"}}\'',
        f"{CORE}.storage.Reverse, from: a, charset: ISO-8859-1",
        f"{CORE}.storage.Split, from: a, regexPattern: '(?<name>a++)'",
        f"{SHELL}, commands: a, beforeCommands: b, interpreter: '[\"sh\"]', namespaceFiles: {{include: [c]}}",
        f"{CORE}.storage.Concat, files: '[\"kestra:///a\"]'",
        f"{CORE}.namespace.DownloadFiles, namespace: b, files: '**.sql'",
        f"{CORE}.log.Fetch, namespace: a, flowId: b, executionId: '{{{{ outputs.a }}}}'",
        f"{CORE}.templating.TemplatedTask, spec: '{{type: {CORE}.log.Log, message: a}}'",
        f"{CORE}.state.Set, name: a_b, data: {{a: 1}}",
        f"{CORE}.kv.Put, key: a, value: [{{key: b, value: c}}, '{{{{ vars.change }}}}']",
        f"{CORE}.flow.PurgeFlows, namespaces: [a], behavior: {{keepAmount: 1}}",
        f"{CORE}.log.PurgeLogs, endDate: '2026-01-31T10:00:00+01:00[Europe/Paris]'",
        f"{SHELL}, commands: [a], taskRunner: {{type: {DOCKER}, portBindings: ['127.0.0.1:8080:80/udp']}}",
        "io.kestra.plugin.scripts.python.Script, script: a, pythonVersion: '3.12'",
    ],
)
def test_constants_that_work_and_expressions_are_left_alone(task: str) -> None:
    """What is told only when the task runs is not judged, and neither is what Kestra fills in."""
    report = of_task(task)

    assert ((), ()) == (report.problems, report.warnings)


@pytest.mark.parametrize(
    ("condition", "warning"),
    [
        ("DateTimeBetween, after: yesterday", "after: 'yesterday' is not a date with time; write it as"),
        ("TimeBetween, before: '25:00:00Z'", "before: '25:00:00Z' is not a time; write it with its offset"),
        ("Weekend, date: friday", "date: 'friday' is not a date; write it as '2024-12-31'."),
        ("PublicHoliday, country: Atlantis", "country: Public holidays of 'ATLANTIS' are not known."),
        ("PublicHoliday, country: public", "country: Public holidays of 'PUBLIC' are not known."),
        ("PublicHoliday, country: DE, subDivision: XX", "subDivision: Public holidays of 'DE-XX' are not known."),
    ],
)
@pytest.mark.parametrize("place", ["conditions", "scheduleConditions", "nested"])
def test_dates_and_countries_of_conditions_are_warned_of(condition: str, warning: str, place: str) -> None:
    """At whatever depth they stand; an execution that says so is made when they are asked, and fails."""
    if place == "nested":
        report = of_condition(f"Not, conditions: [{{type: {CORE}.condition.{condition}}}]")
        where = "triggers[0].conditions[0].conditions[0]."
    else:
        report = of_condition(condition, place)
        where = f"triggers[0].{place}[0]."

    assert () == report.problems
    (said,) = report.warnings
    assert said.startswith(where + warning)


@pytest.mark.parametrize(
    "condition",
    [
        "DateTimeBetween, after: '2024-01-01T00:00:00+02:00[Europe/Paris]', before: '{{ trigger.date }}'",
        "TimeBetween, after: '16:19:12+02:00', before: '17:00:00Z'",
        "PublicHoliday",
        "PublicHoliday, country: de, subDivision: by",
        "PublicHoliday, country: '{{ vars.country }}', subDivision: XX",
    ],
)
def test_dates_and_countries_that_are_known_are_left_alone(condition: str) -> None:
    """In all forms that the scheduler reads."""
    report = of_condition(condition)

    assert ((), ()) == (report.problems, report.warnings)


@pytest.mark.parametrize(
    ("cron", "fires"),
    [
        ("0 0 30 2 *", False),
        ("0 0 31 4,6,9,11 *", False),
        ("0 0 L-30 2 *", False),
        ("0 0 29 2 *", True),
        ("0 0 30 2 MON", True),
        ("0 0 * 2 SUN#5", True),
    ],
)
def test_a_schedule_that_no_date_meets_is_warned_of(cron: str, fires: bool) -> None:
    """It is valid, as in Kestra, and never fires."""
    trigger = f"{{id: t, type: {CORE}.trigger.Schedule, cron: '{cron}'}}"
    report = check_flow(f"id: a\nnamespace: team\ntasks: [{LOG}]\ntriggers: [{trigger}]\n")

    warning = f"The trigger 't' never fires: no date meets the cron expression '{cron}'."
    assert () == report.problems
    assert (() if fires else (warning,)) == report.warnings


def test_what_is_disabled_may_hold_anything() -> None:
    """It is never used: neither it, nor what is in it, is judged; what comes after it is."""
    bad = f"type: {CORE}.kv.Get, key: '?'"
    text = (
        f"id: a\nnamespace: team\ntasks:\n- {{id: t, {bad}, disabled: true}}\n"
        f"- {{id: s, type: {CORE}.flow.Sequential, disabled: true, tasks: [{{id: u, {bad}}}]}}\n- {{id: v, {bad}}}\n"
        f"triggers: [{{id: h, type: {CORE}.http.Trigger, uri: x, disabled: true}}]\n"
    )

    assert ["tasks[2].key"] == [problem.path for problem in check_flow(text).problems]


def test_the_address_of_a_trigger_is_judged_as_that_of_a_task() -> None:
    """It would fail at every interval."""
    text = f"id: a\nnamespace: team\ntasks: [{LOG}]\ntriggers: [{{id: h, type: {CORE}.http.Trigger, uri: x}}]\n"

    assert ["triggers[0].uri"] == [problem.path for problem in check_flow(text).problems]


def test_a_mistake_in_what_a_package_says_of_constants_keeps_nobody_from_saving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a warning that names the type."""

    def mistaken(_: Log) -> Iterator[Objection]:
        raise ValueError("a mistake")

    monkeypatch.setattr(Log, "objections", mistaken)

    report = of_task(f"{CORE}.log.Log, message: x")

    assert () == report.problems
    assert [f"tasks[0]: What '{CORE}.log.Log' says of its constants failed: ValueError('a mistake')"] == list(
        report.warnings
    )
