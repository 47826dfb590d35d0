"""Rules of whole flows: each refuses what it names, at the place where it stands, and nothing else."""

from __future__ import annotations

import pytest

from tiercel.flowspec.findings import NewerRules
from tiercel.flowspec.parse import Outside, Report, check_flow, check_flows, parse_flow, update_problems

PAUSE = "type: io.kestra.plugin.core.flow.Pause"
FLOW = "io.kestra.plugin.core.flow"
STORAGE = "io.kestra.plugin.core.storage"
DAILY = "type: io.kestra.plugin.core.trigger.Schedule, cron: '@daily'"


def check(body: str, tasks: str = f"tasks: [{{id: p, {PAUSE}}}]\n") -> Report:
    return check_flow(f"id: a\nnamespace: team\n{body}\n{tasks}")


def messages(body: str, tasks: str = f"tasks: [{{id: p, {PAUSE}}}]\n") -> list[str]:
    return [problem.message for problem in check(body, tasks).problems]


def test_a_valid_flow_has_no_problem_and_keeps_text_and_document() -> None:
    """The text is stored without its revision line, the document with everything else."""
    text = f"id: a\nnamespace: team\nrevision: 4\nupdated: 2026-01-01\ntasks: [{{id: p, {PAUSE}}}]\n"

    flow = parse_flow(text, tenant_id="main")

    assert "revision" not in flow.source
    assert not {"revision", "updated"} & set(flow.document)
    assert (4, "main/team/a") == (flow.revision, flow.uid)


def test_a_pattern_that_cannot_be_read_is_refused() -> None:
    """A filter of preconditions says what is wrong with its regular expression."""
    where = "[{id: w, filters: [{field: FLOW_ID, type: REGEX, value: '['}]}]"
    trigger = f"type: io.kestra.plugin.core.trigger.Flow, preconditions: {{id: p, where: {where}}}"

    (message,) = messages(f"triggers: [{{id: t, {trigger}}}]")

    assert message.startswith("Invalid regex '['")


def test_ids_that_stand_twice_are_named_over_the_whole_tree() -> None:
    """Tasks share one space of names with all their children, triggers have their own."""
    report = check(
        "triggers:\n- {id: p, type: io.kestra.plugin.core.trigger.Webhook, key: k}",
        f"tasks:\n- {{id: p, {PAUSE}}}\n- id: s\n  type: {FLOW}.Sequential\n  tasks:\n  - {{id: p, {PAUSE}}}\n",
    )

    (problem,) = report.problems
    assert "Invalid Flow: Duplicate task id with name [p]" == problem.message
    assert 10 == problem.line


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ("[{id: x, type: STRING}, {id: x, type: INT}]", "Duplicate input with name [x]"),
        ("[{id: f, type: FORM, inputs: [{id: x, type: INT}, {id: x, type: INT}]}]", "Duplicate input path [f.x]"),
        ("[{id: f, type: FORM, inputs: [{id: x, type: INT}]}, {id: f.x, type: INT}]", "Duplicate input path [f.x]"),
        ("[{id: x, type: STRING, dependsOn: {inputs: [y]}}]", "depends on a non-existent input 'y'"),
        (
            "[{id: x, type: INT, dependsOn: {inputs: [y]}}, {id: y, type: INT, dependsOn: {inputs: [x]}}]",
            "Cycle dependency detected for input with id 'x'",
        ),
        ("[{id: a, type: INT}, {id: a.b, type: INT}]", "Input path 'a' conflicts with 'a.b'"),
        ("[{id: x, type: STRING, validator: '['}]", "invalid pattern [[]"),
        ("[{id: x, type: STRING, min: 3}]", "Unrecognized field \"min\" of an input of type 'STRING'"),
        ("[{id: x, type: INT, min: low}]", "Expected `INT` but received `low`"),
        ("[{id: x, type: INT, defaults: many}]", "x: the default cannot be used"),
        ("[{id: x, type: INT, min: 5, max: 3}]", "no value can be between `min` 5 and `max` 3"),
        ("[{id: x, type: DATE, after: 2026-02-01, before: 2026-01-01}]", "no value can be between `after` 2026-02-01"),
        ("[{id: x, type: ARRAY}]", "x: `itemType` cannot be null"),
        ("[{id: x, type: SELECT}]", "`values` or `expression` must be set"),
        ("[{id: x, type: FILE, defaults: a}]", "only support `defaults` as local files"),
        ("[{id: x, type: STRING, defaults: a, prefill: b}]", "cannot also have a prefill"),
        ("[{id: x, type: STRING, defaults: a, required: false}]", "must be required"),
        ("[{id: f, type: FORM}]", "needs `inputs`"),
        (
            "[{id: f, type: FORM, prefill: b, inputs: [{id: x, type: INT}]}]",
            "cannot declare a default value or a prefill",
        ),
        ("[{id: x, type: TEXT}]", "Invalid type: TEXT; it must be one of STRING, SELECT"),
        ("[{id: x}]", "Invalid type: null"),
    ],
)
def test_inputs_that_cannot_work_are_refused(inputs: str, sentence: str) -> None:
    """Each rule on inputs has its sentence."""
    found = messages(f"inputs: {inputs}")

    assert any(sentence in message for message in found), found


@pytest.mark.parametrize(
    ("declared", "cause"),
    [
        ("type: SELECT, values: [a, b], defaults: c", "it must match the values `[a, b]`"),
        ("type: MULTISELECT, values: [a, b], defaults: [a, c]", "value `c` doesn't match the values `[a, b]`"),
        ("type: INT, min: 5, defaults: 3", "it must be more than `5`"),
        ("type: FLOAT, max: 1.5, defaults: 2", "it must be less than `1.5`"),
        ("type: STRING, validator: '[a-z]+', defaults: A", "it must match the pattern `[a-z]+`"),
        ("type: JSON, defaults: '{a'", "Expected `JSON` but received `{a`"),
        ("type: DATE, after: 2026-01-01, defaults: 2025-01-01", "it must be after `2026-01-01`"),
        ("type: SELECT, values: [a, b], defaults: a", None),
        ("type: SELECT, values: [a, b], defaults: '{{ vars.first }}'", None),
        ("type: SELECT, values: [a, b], defaults: c, allowCustomValue: true", None),
        ("type: MULTISELECT, values: [a, b], defaults: ['{{ vars.first }}']", None),
    ],
)
def test_a_default_that_its_own_bounds_refuse_is_warned_of(declared: str, cause: str | None) -> None:
    """An execution that is given another value starts: so the flow is valid, as in Kestra."""
    report = check(f"inputs: [{{id: x, {declared}}}]")

    said = [] if cause is None else ["The default of the input 'x' will be refused when it is used: "]
    assert not report.problems
    assert said == [warning[: len(said[0])] for warning in report.warnings]
    assert cause is None or cause in report.warnings[0]


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        (
            f"- {{id: p, type: {FLOW}.PurgeFlows, behavior: {{before: '2026-01-01T00:00:00Z', keepAmount: 2}}}}",
            "Cannot set both 'before' and 'keepAmount' properties",
        ),
        (f"- {{id: p, {PAUSE}, workerSelector: {{fallback: WAIT}}}}", "'tags' must name at least one tag"),
        (f"- {{id: s, type: {FLOW}.Switch, value: x}}", "s: No task defined, neither cases or default have any tasks"),
        (f"- {{id: s, type: {FLOW}.Switch, value: x, cases: {{a: [], b: [{{id: p, {PAUSE}}}]}}}}", "must not be empty"),
        (
            f"- {{id: s, type: {FLOW}.Switch, value: x, cases: {{b: [{{id: p, {PAUSE}}}]}}, defaults: []}}",
            "The 'defaults' property cannot be empty.",
        ),
        (f"- {{id: w, type: {FLOW}.WorkingDirectory}}", "w: The 'tasks' property cannot be empty"),
        (f"- {{id: s, type: {FLOW}.Sleep, duration: -PT1S}}", "must be a positive duration"),
        (
            f"- {{id: w, type: {FLOW}.WorkingDirectory, tasks: [{{id: p, {PAUSE}}}]}}",
            "w: Only runnable tasks are allowed",
        ),
        (f"- {{id: s, type: {FLOW}.Subflow, namespace: team, flowId: a}}", "Recursive call to flow [team.a]"),
        (
            f"- {{id: s, type: {FLOW}.Subflow, namespace: x, flowId: a, labels: {{system.x: y}}}}",
            "System labels can only be set",
        ),
        (
            f"- {{id: d, type: {FLOW}.Dag, tasks: [{{task: {{id: p, {PAUSE}}}, dependsOn: [q]}}]}}",
            "d: Not existing task id in dependency: q",
        ),
        (f"- {{id: p, {PAUSE}, retry: {{type: constant}}}}", "must not be null"),
        (
            f"- {{id: p, {PAUSE}, retry: {{type: constant, interval: PT5S, maxDuration: PT1S}}}}",
            "'interval' must be less than 'maxDuration' but is PT5S",
        ),
        (f"- {{id: p, {PAUSE}, retry: {{type: constant, interval: PT5S, maxAttempts: 0}}}}", "or equal to 1"),
        (f"- {{id: p, {PAUSE}, retry: {{type: constant, interval: -PT5S}}}}", "must not be negative, but is PT-5S"),
        (f"- {{id: p, {PAUSE}, timeout: -PT1S}}", "must not be negative, but is PT-1S"),
        (f"- {{id: s, type: {STORAGE}.Split, from: a, timeout: 5}}", "'5' is not a duration"),
        (f"- {{id: s, type: {STORAGE}.Split, from: a, rows: 0}}", "must be greater than or equal to 1"),
        (f"- {{id: s, type: {STORAGE}.Split, from: a, partitions: '0'}}", "must be greater than or equal to 1"),
        (f"- {{id: s, type: {STORAGE}.Split, from: a, bytes: many}}", "'many' is not a size"),
        (
            f"- {{id: i, type: {FLOW}.ForEachItem, items: a, namespace: b, flowId: c, batch: {{rows: 0}}}}",
            "must be greater than or equal to 1",
        ),
        (
            "- {id: r, type: io.kestra.plugin.core.http.Request, uri: http://a, method: G T}",
            "'G T' is not a method of HTTP",
        ),
        (
            "- {id: r, type: io.kestra.plugin.core.http.Request, uri: http://a, headers: text}",
            "must be a map, or one written as",
        ),
        (
            "- {id: v, type: io.kestra.plugin.core.output.OutputValues, values: '[1]'}",
            "must be a map, or one written as",
        ),
        (
            "- {id: l, type: io.kestra.plugin.core.log.PurgeLogs, endDate: '{{ now() }}', logLevels: [LOUD]}",
            "must be one of TRACE, DEBUG, INFO, WARN, ERROR, but is 'LOUD'",
        ),
        (f"- {{id: p, {PAUSE}, onResume: [{{id: x, type: ARRAY}}]}}", "`itemType` cannot be null"),
    ],
)
def test_tasks_that_cannot_work_are_refused(tasks: str, sentence: str) -> None:
    """Each rule on tasks has its sentence."""
    found = messages("", f"tasks:\n{tasks}\n")

    assert any(sentence in message for message in found), found


def test_a_circle_of_dependencies_in_a_dag_names_its_tasks() -> None:
    """Tasks that only depend on the circle are not in it."""
    entries = [("a", "b"), ("b", "a"), ("c", "a")]
    tasks = "\n".join(f"  - {{task: {{id: {name}, {PAUSE}}}, dependsOn: [{other}]}}" for name, other in entries)

    found = messages("", f"tasks:\n- id: d\n  type: {FLOW}.Dag\n  tasks:\n{tasks}\n")

    assert ["d: Cyclic dependency detected: a, b"] == found


def test_newer_rules_bind_who_asks_for_them() -> None:
    """A flow that was written before a rule came is saved and runs; it is warned of."""
    empty = f"{{id: s, type: {FLOW}.Switch, value: x, cases: {{a: [], b: [{{id: q, {PAUSE}}}]}}, defaults: []}}"
    text = (
        f"id: a\nnamespace: team\ninputs: [{{id: x, type: STRING}}]\ntasks: [{{id: p, {PAUSE}}}, {empty}]\n"
        f"sla: [{{id: s, type: MAX_DURATION, behavior: FAIL, duration: PT0S}}]\ntriggers: [{{id: t, {DAILY}}}]\n"
    )
    sentence = "Missing inputs for Schedule Trigger 't', missing inputs: 'x'"

    of_2, read = check_flow(text), check_flow(text, Outside(newer_rules=NewerRules.WARN))

    assert [problem.sentence for problem in of_2.problems] == list(read.warnings)
    assert any(sentence in warning for warning in read.warnings)
    assert 4 == len(read.warnings)
    assert "a" == parse_flow(text).id


@pytest.mark.parametrize(
    ("part", "refused"),
    [
        (f"inputs: [{{id: x, type: STRING}}]\ntriggers: [{{id: t, {DAILY}}}]\n", True),
        (f"inputs: [{{id: x, type: STRING}}]\ntriggers: [{{id: t, disabled: true, {DAILY}}}]\n", False),
        ("inputs: [{id: x, type: STRING, required: false, defaults: a}]\n", False),
    ],
    ids=["fails at each date", "disabled", "runs, and is untidy"],
)
def test_newer_rules_may_bind_only_what_fails_otherwise(part: str, refused: bool) -> None:
    """What runs as before is warned of; what does not is refused."""
    text = f"id: a\nnamespace: team\n{part}tasks: [{{id: p, {PAUSE}}}]\n"

    report = check_flow(text, Outside(newer_rules=NewerRules.REFUSE_WHAT_FAILS))

    assert refused == (report.flow is None), report


def test_a_key_with_a_dash_needs_brackets() -> None:
    """`inputs.server-name` would subtract; `inputs['server-name']` does not."""
    text = "inputs: [{id: server-name, type: STRING}]"
    task = 'tasks: [{id: p, type: io.kestra.plugin.core.flow.Pause, pauseDuration: "{{ %s }}"}]\n'

    wrong, right = messages(text, task % "inputs.server-name"), messages(text, task % "inputs['server-name']")

    assert "offending tasks: [p]" in wrong[0]
    assert [] == right


def test_an_output_of_the_flow_that_would_subtract_is_named_as_one() -> None:
    """Beside the tasks, which are named on their own."""
    task = 'tasks: [{id: o-p, type: io.kestra.plugin.core.flow.Pause, pauseDuration: "{{ outputs.o-p.x }}"}]\n'

    found = messages("outputs: [{id: final, type: STRING, value: '{{ outputs.o-p.x }}'}]", task)

    assert ["offending tasks: [o-p]", "offending outputs: [final]"] == [text.rpartition(", ")[2] for text in found]


def test_expressions_that_cannot_be_read_are_refused_where_they_stand() -> None:
    """The reader of expressions is handed in; texts that are not rendered are not its business."""
    text = (
        f"id: a\nnamespace: team\ndescription: '{{{{ not read'\n"
        f"tasks:\n- id: p\n  {PAUSE}\n  pauseDuration: '{{{{ bad'\n"
    )

    report = check_flow(text, Outside(check_expression=lambda text: "it has no end"))

    assert [("tasks[0].pauseDuration", 7)] == [(problem.path, problem.line) for problem in report.problems]


def test_deprecations_are_paths_and_warnings_sentences() -> None:
    """What still works is said without refusing it."""
    report = check(
        "inputs: [{name: x, type: STRING}]\nlisteners: [{tasks: [{id: l, type: io.kestra.plugin.core.flow.Pause}]}]\n"
        "triggers: [{id: t, type: io.kestra.plugin.core.trigger.Flow}]"
    )

    assert () == report.problems
    assert ("inputs[0].name", "listeners") == report.deprecations
    assert "EVERY execution" in report.warnings[0]


def test_warnings_have_their_places_in_the_text() -> None:
    """Those whose sentence says what they are about, and those whose path does, in whatever order they are found."""
    report = check_flow(
        "id: a\nnamespace: team\n"
        "inputs:\n- {id: f, type: FORM, inputs: [{id: x, type: INT, min: 5, defaults: 3}]}\n"
        "tasks:\n- id: s\n  type: io.kestra.plugin.core.flow.Sequential\n  timeout: PT1S\n"
        "  tasks:\n  - {id: g, type: io.kestra.plugin.core.flow.Subflow, namespace: ' ', flowId: b}\n"
        "triggers:\n- id: t\n  type: io.kestra.plugin.core.trigger.Schedule\n  cron: 0 0 30 2 *\n"
        "- {id: u, type: io.kestra.plugin.core.trigger.Flow}\n"
    )

    assert [] == list(report.problems)
    assert [
        ("", 8, 3),
        ("tasks[0].tasks[0].namespace", 10, 55),
        ("", 4, 59),
        ("", 14, 3),
        ("", 15, 3),
    ] == [(caution.path, caution.line, caution.column) for caution in report.cautions]
    assert [caution.sentence for caution in report.cautions] == list(report.warnings)


def test_plugin_defaults_are_checked_against_the_type_they_name() -> None:
    """A prefix of types is not."""
    text = "pluginDefaults:\n- {type: %s, values: {nothing: 1}}"

    assert 'Unrecognized field "nothing"' in messages(text % f"{FLOW}.Subflow")[0]
    assert [] == messages(text % "io.kestra.plugin.core.http")


def test_several_documents_are_reported_one_by_one() -> None:
    """Each document has its own flow or its own problems, and its own text."""
    text = f"id: a\nnamespace: team\ntasks: [{{id: p, {PAUSE}}}]\n---\nid: b\nnamespace: team\n"

    first, second = check_flows(text)

    assert first.flow is not None
    assert "id: b" not in first.flow.source
    assert ["tasks: must not be empty (line 5, column 1)"] == [str(problem) for problem in second.problems]


def test_id_and_namespace_of_a_flow_never_change() -> None:
    """An update under another name is refused with both paths."""
    old, new = (parse_flow(f"id: {name}\nnamespace: {name}\ntasks: [{{id: p, {PAUSE}}}]\n") for name in "xy")

    assert ["flow.id", "flow.namespace"] == [problem.path for problem in update_problems(new, old)]
    assert [] == update_problems(new, new)


@pytest.mark.parametrize("text", ["", "- a\n", "just text", "---\n---\n"])
def test_a_text_without_a_flow_is_refused(text: str) -> None:
    """A list or a text is no flow."""
    assert check_flow(text).problems


def test_a_schema_of_an_input_must_be_json() -> None:
    """A text that is none is refused when the flow is saved, not when somebody starts it."""
    source = (
        "id: f\nnamespace: a.b\ninputs:\n- id: i\n  type: JSON\n  jsonSchema: '{'\n"
        "tasks:\n- id: t\n  type: io.kestra.plugin.core.log.Log\n  message: x\n"
    )

    problems = check_flow(source).problems

    assert ["inputs[0].jsonSchema"] == [problem.path for problem in problems]
    assert "invalid json" in problems[0].message


def test_each_quota_has_a_window_of_its_own_of_a_minute_or_more() -> None:
    """Two of one length and one shorter than a minute are refused where they stand."""
    quotas = "".join(f"- {{duration: {length}, limit: 1}}\n" for length in ("PT1M", "PT60S", "PT1H", "PT59S"))

    problems = check_flow(f"id: f\nnamespace: a.b\nquotas:\n{quotas}tasks: [{{id: p, {PAUSE}}}]\n").problems

    assert [
        ("quotas[1].duration", "Duplicate quota with duration [PT1M]"),
        ("quotas[3].duration", "must be at least PT1M"),
    ] == [(problem.path, problem.message) for problem in problems]


@pytest.mark.parametrize(
    "task",
    [
        'type: io.kestra.plugin.core.http.Request, uri: http://a, headers: \'{"a": "b"}\'',
        "type: io.kestra.plugin.core.http.Request, uri: http://a, headers: '{{ vars.headers }}'",
        "type: io.kestra.plugin.core.log.PurgeLogs, endDate: '{{ now() }}', logLevels: [debug, '{{ vars.level }}']",
        "type: io.kestra.plugin.core.log.PurgeLogs, endDate: '{{ now() }}', logLevels: '[\"INFO\"]'",
    ],
)
def test_maps_and_names_may_be_written_as_texts_and_expressions(task: str) -> None:
    """What is read when the task runs is not refused."""
    assert [] == messages("", f"tasks:\n  - {{id: t, {task}}}\n")
