"""Binding: what properties accept, and how everything that is wrong is said at once."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import pytest

from tiercel.errors import InvalidFlow
from tiercel.flowspec.binder import bind_struct, bind_typed
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.parse import bind_task, check_flow, parse_flow
from tiercel.flowspec.scalars import BROKEN
from tiercel.model.flow import Dialect, Flow
from tiercel.model.input import Input
from tiercel.model.task import LogLevel, Retry, RetryType, Task, Trigger
from tiercel.plugins.core.flow.choice import If, Switch
from tiercel.plugins.core.flow.loop import LoopUntil
from tiercel.plugins.core.flow.pause import Pause
from tiercel.plugins.core.trigger.flow import FlowTrigger

PREFIX = "io.kestra.plugin.core.flow."


def pause(name: str = "p", **more: Any) -> dict[str, Any]:
    return {"id": name, "type": f"{PREFIX}Pause", **more}


def said(data: dict[str, Any], base: type[Any] = Task) -> list[str]:
    findings = Findings()
    bind_typed(base, data, None, findings)
    return [str(problem) for problem in findings.problems(None)]


def test_children_are_bound_to_the_classes_of_their_types() -> None:
    """`type` chooses the class, all the way down."""
    task = bind_task(
        {
            "id": "i",
            "type": f"{PREFIX}If",
            "condition": "{{ x }}",
            "then": [{"id": "s", "type": f"{PREFIX}Switch", "value": "{{ y }}", "cases": {"a": [pause()]}}],
            "else": [pause("q")],
        }
    )

    assert isinstance(task, If)
    (switch,) = task.then
    assert isinstance(switch, Switch)
    assert ["s", "q"] == [child.id for child in task.children()]
    assert {"a": ("p",)} == {name: tuple(each.id for each in tasks) for name, tasks in switch.cases.items()}


def test_a_dynamic_property_keeps_the_expression() -> None:
    """Nothing is rendered, and a duration is not read, before the task runs."""
    task = bind_task(pause(pauseDuration="{{ inputs.wait }}", timeout="PT60M"))

    assert isinstance(task, Pause)
    assert ("{{ inputs.wait }}", "PT60M") == (task.pause_duration, task.timeout)


def test_durations_enumerations_and_numbers_get_their_types() -> None:
    """Static properties are typed when they are read."""
    task = bind_task(pause(retry={"type": "constant", "interval": "PT15M", "maxAttempt": "5"}, disabled="true"))

    assert Retry(type=RetryType.CONSTANT, interval=timedelta(minutes=15), max_attempts=5) == task.retry
    assert task.disabled is True


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"overwrite": "maybe"}, "overwrite: must be true or false, but is 'maybe'"),
        ({"overwrite": 3}, "overwrite: must be true or false, but is 3"),
        ({"overwrite": "{{ x }}"}, None),
        ({"overwrite": "False"}, None),
    ],
)
def test_a_text_in_the_place_of_a_truth_value_is_one_or_an_expression(
    properties: dict[str, Any], sentence: str | None
) -> None:
    """What could only fail when the task runs is refused before."""
    task = {"id": "s", "type": "io.kestra.plugin.core.execution.SetVariables", "variables": {"a": 1}, **properties}

    assert ([] if sentence is None else [sentence]) == said(task)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("few", "rows: must be a whole number, but is 'few'"),
        (True, "rows: must be a whole number, but is True"),
        (1.5, "rows: must be a whole number, but is 1.5"),
        ("10", None),
        ("{{ n }}", None),
    ],
)
def test_a_text_in_the_place_of_a_number_is_one_or_an_expression(rows: Any, sentence: str | None) -> None:
    """A number may be written as a text, an expression must be one."""
    task = {"id": "s", "type": "io.kestra.plugin.core.storage.Split", "from": "kestra:///a", "rows": rows}

    assert ([] if sentence is None else [sentence]) == said(task)


def test_an_alias_of_a_type_is_a_relocation() -> None:
    """The author learns the new name, and the task works."""
    findings = Findings()

    task = bind_typed(
        Task,
        {"id": "w", "type": f"{PREFIX}WaitFor", "condition": "{{ true }}", "tasks": [pause()]},
        None,
        findings,
    )

    assert isinstance(task, LoopUntil)
    assert [(f"{PREFIX}WaitFor", f"{PREFIX}LoopUntil")] == findings.relocations


def test_every_problem_is_said_with_its_place_and_the_nearest_name() -> None:
    """One reading finds all: regex, unknown type, unknown property, enumeration, duration."""
    with pytest.raises(InvalidFlow) as caught:
        parse_flow(
            "id: a b\nnamespace: team\ntasks:\n"
            f"- {{id: x, type: {PREFIX}Pase}}\n"
            f"- id: y\n  type: {PREFIX}Pause\n  dlay: 1\n  behavior: RESUM\n  retry: {{type: constant, interval: 5x}}\n"
        )

    found = {problem.path: (problem.line, problem.message) for problem in caught.value.problems}
    assert {"id": 1, "tasks[0].type": 4, "tasks[1].dlay": 7, "tasks[1].behavior": 8, "tasks[1].retry.interval": 9} == {
        path: line for path, (line, _) in found.items()
    }
    assert f"did you mean '{PREFIX}Pause'?" in found["tasks[0].type"][1]
    assert 'did you mean "delay"?' in found["tasks[1].dlay"][1]
    assert "RESUME, WARN, CANCEL, FAIL" in found["tasks[1].behavior"][1]


def test_unknown_properties_are_left_out_when_reading_is_lenient() -> None:
    """A worker of another version reads what it knows."""
    flow = parse_flow(f"id: a\nnamespace: t\ntasks:\n- {{id: p, type: {PREFIX}Pause, later: 1}}\n", strict=False)

    assert "p" == flow.tasks[0].id


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"id": "x"}, "type: Invalid type: null"),
        ({"id": "x", "type": "io.kestra.plugin.core.trigger.Webhook"}, "is not a task, but a trigger"),
        ({"type": f"{PREFIX}Pause"}, "id: must not be null"),
        (pause(retry=3), "retry: must be a map, but is a number"),
        (pause(disabled="maybe"), "disabled: must be true or false, but is 'maybe'"),
        (pause(logLevel="LOUD"), "logLevel: must be one of TRACE, DEBUG, INFO, WARN, ERROR, but is 'LOUD'"),
        (pause(timeout="soon"), "timeout: 'soon' is not a duration"),
        (pause(timeout={"a": 1}), "timeout: must be a text, but is a map"),
        (pause(delay="PT1S", pauseDuration="PT2S"), "another name of a property that is set already"),
        ({"id": "s", "type": f"{PREFIX}Sequential", "tasks": [None]}, "tasks[0]: must not be null"),
        ({"id": "s", "type": f"{PREFIX}Sequential", "tasks": {}}, "tasks: must be a list, but is a map"),
        ({"id": "s", "type": f"{PREFIX}Sequential"}, "tasks: The 'tasks' property cannot be empty"),
        ({"id": "s", "type": f"{PREFIX}Parallel", "concurrent": -1, "tasks": [pause()]}, "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(data: dict[str, Any], sentence: str) -> None:
    """The message names the property, what it must be and what it is."""
    assert any(sentence in problem for problem in said(data)), said(data)


def test_a_union_takes_the_alternative_that_fits() -> None:
    """A file's `accept` is one text or several."""
    findings = Findings()

    one = bind_struct(Input, {"id": "a", "type": "FILE", "accept": ".csv"}, None, findings)
    many = bind_struct(Input, {"id": "a", "type": "FILE", "accept": [".csv", ".txt"]}, None, findings)

    assert (".csv", (".csv", ".txt")) == (one.accept, many.accept)
    assert not findings.found


def test_labels_are_a_map_or_a_list_of_key_and_value() -> None:
    """Both become a map of texts."""
    text = "id: a\nnamespace: t\ntasks: [{id: p, type: %sPause}]\nlabels: %s\n"

    assert {"x": "1", "y": "true"} == parse_flow(text % (PREFIX, "{x: 1, y: true}")).labels
    assert {"x": "1"} == parse_flow(text % (PREFIX, "[{key: x, value: 1}]")).labels


def test_a_label_that_stands_twice_or_is_the_systems_is_refused() -> None:
    """`system.readOnly` alone may be set on a flow."""
    text = "id: a\nnamespace: t\ntasks: [{id: p, type: %sPause}]\nlabels: %s\n"

    twice = check_flow(text % (PREFIX, "[{key: x, value: 1}, {key: x, value: 2}]"))
    system = check_flow(text % (PREFIX, "{system.id: x, system.readOnly: true}"))

    assert ["Duplicate label with key [x]"] == [problem.message for problem in twice.problems]
    assert ["System labels can only be set by Kestra itself, offending label: system.id=x."] == [
        problem.message for problem in system.problems
    ]


def test_what_2_0_removed_makes_a_flow_one_of_the_older_dialect() -> None:
    """The dialect is told by what the flow uses."""
    text = "id: a\nnamespace: t\ntasks: [{id: p, type: %sPause, %s: PT1S}]\n"

    assert Dialect.V1 is parse_flow(text % (PREFIX, "delay")).dialect
    assert Dialect.V2 is parse_flow(text % (PREFIX, "pauseDuration")).dialect


def test_times_of_a_trigger_are_read() -> None:
    """Times stay texts in YAML and become times in the model."""
    findings = Findings()

    trigger = bind_typed(
        Trigger,
        {"id": "t", "type": "io.kestra.plugin.core.trigger.Flow", "window": {"from": "08:00:00", "to": "18:00"}},
        None,
        findings,
    )

    assert isinstance(trigger, FlowTrigger)
    assert trigger.window is not None
    assert (time(8), time(18)) == (trigger.window.from_, trigger.window.to)


def test_what_cannot_be_read_is_broken_and_leaves_the_rest() -> None:
    """A broken task does not hide the problems of its neighbour."""
    findings = Findings()

    flow = bind_struct(Flow, {"id": "a", "tasks": [{"id": "x"}, pause(disabled=[])]}, None, findings)

    assert flow is BROKEN
    assert {"namespace", "tasks[0].type", "tasks[1].disabled"} == {p.path for p in findings.problems(None)}


def test_a_worker_refuses_a_task_that_it_cannot_make() -> None:
    """The sentence says which type is unknown."""
    with pytest.raises(InvalidFlow, match=r"Invalid type: no\.such\.Type"):
        bind_task({"id": "x", "type": "no.such.Type"})


def test_log_level_is_checked_but_kept_as_written() -> None:
    """A dynamic enumeration keeps its text."""
    assert LogLevel.WARN == bind_task(pause(logLevel="WARN")).log_level
