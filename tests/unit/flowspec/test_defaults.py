"""Plugin defaults: who wins, and how far they reach."""

from __future__ import annotations

from typing import Any

import pytest

from tiercel.errors import InvalidFlow
from tiercel.flowspec.defaults import merge_defaults, read_outer
from tiercel.flowspec.parse import parse_flow
from tiercel.model.flow import PluginDefault
from tiercel.plugins.core.flow.loop import LoopUntil

TYPE = "org.example.Task"


def merged(task: dict[str, Any], own: list[dict[str, Any]], *outer: PluginDefault) -> dict[str, Any]:
    document = merge_defaults({"tasks": [{"type": TYPE, **task}], "pluginDefaults": own}, outer)
    return {name: value for name, value in document["tasks"][0].items() if name != "type"}


def test_the_task_wins_over_the_flow_and_the_flow_over_the_installation() -> None:
    """Earlier defaults win over later ones; maps merge."""
    outer = PluginDefault(type=TYPE, values={"a": "outer", "b": "outer", "c": "outer", "m": {"x": 1, "y": 1}})

    found = merged({"a": "task", "m": {"x": 2}}, [{"type": TYPE, "values": {"a": "own", "b": "own"}}], outer)

    assert {"a": "task", "b": "own", "c": "outer", "m": {"x": 2, "y": 1}} == found


def test_forced_values_win_over_the_task_and_the_flows_own_over_the_outer_ones() -> None:
    """The first forced default is the most important one."""
    outer = PluginDefault(type=TYPE, forced=True, values={"a": "outer", "b": "outer"})

    found = merged({"a": "task", "b": "task"}, [{"type": TYPE, "forced": True, "values": {"a": "own"}}], outer)

    assert {"a": "own", "b": "outer"} == found


def test_a_type_is_a_prefix_and_what_is_injected_gets_no_defaults() -> None:
    """A runner inside of a task has its own type; what a default brings is taken as it is."""
    document = {
        "tasks": [{"type": TYPE, "inner": {"type": "org.example.Runner"}, "list": [{"type": "com.other"}]}],
    }

    found = merge_defaults(document, [PluginDefault(type="org.", values={"made": {"type": "org.example.Made"}})])

    made = {"type": "org.example.Made"}
    assert [
        {
            "type": TYPE,
            "inner": {"type": "org.example.Runner", "made": made},
            "list": [{"type": "com.other"}],
            "made": made,
        }
    ] == found["tasks"]
    assert "made" not in document["tasks"][0]


def test_a_prefix_speaks_to_each_type_of_the_properties_that_it_has() -> None:
    """What a type has not is meant for others; a default for the very type names it, and is refused."""
    text = (
        "id: a\nnamespace: t\npluginDefaults:\n- {type: %s, values: {level: WARN, uri: https://example.org}}\n"
        "tasks:\n- {id: d, type: io.kestra.plugin.core.http.Download}\n"
        "- {id: l, type: io.kestra.plugin.core.log.Log, message: hi}\n"
    )

    download, log = parse_flow(text % "io.kestra.plugin.core").document["tasks"]

    assert ("https://example.org", None) == (download["uri"], download.get("level"))
    assert ("WARN", None) == (log["level"], log.get("uri"))
    with pytest.raises(InvalidFlow, match='Unrecognized field "uri"'):
        parse_flow(text % "io.kestra.plugin.core.log.Log")


def test_an_older_name_of_a_type_stands_for_the_type() -> None:
    """A default for WaitFor reaches a LoopUntil, and the document holds the merged values."""
    flow = parse_flow(
        "id: a\nnamespace: t\npluginDefaults:\n"
        "- {type: io.kestra.plugin.core.flow.WaitFor, values: {failOnMaxReached: true}}\n"
        "tasks:\n- id: l\n  type: io.kestra.plugin.core.flow.LoopUntil\n  condition: '{{ x }}'\n"
        "  tasks: [{id: p, type: io.kestra.plugin.core.flow.Pause}]\n"
    )

    (task,) = flow.tasks
    assert isinstance(task, LoopUntil)
    assert task.fail_on_max_reached is True
    assert flow.document["tasks"][0]["failOnMaxReached"] is True
    assert "failOnMaxReached" not in flow.source.split("tasks:")[1]


def test_defaults_of_a_namespace_hold_there_and_below_and_the_nearest_wins() -> None:
    """The order is flow, namespaces from the nearest outwards, installation; other namespaces see nothing of them."""
    outer = read_outer(
        [
            {"type": TYPE, "values": {"a": "all", "b": "all", "c": "all"}},
            {"namespace": "company", "type": TYPE, "values": {"a": "company", "b": "company"}},
            {"namespace": "company.team", "type": TYPE, "values": {"a": "team"}},
        ]
    )

    def seen(namespace: str) -> dict[str, Any]:
        return merge_defaults({"tasks": [{"type": TYPE}]}, *outer.scopes(namespace))["tasks"][0]

    assert {"type": TYPE, "a": "team", "b": "company", "c": "all"} == seen("company.team.sub")
    assert {"type": TYPE, "a": "company", "b": "company", "c": "all"} == seen("company.teamwork")
    assert {"type": TYPE, "a": "all", "b": "all", "c": "all"} == seen("other")


def test_a_flow_is_read_with_the_defaults_of_its_namespace() -> None:
    """The namespace is the one that the text names."""
    outer = read_outer([{"namespace": "company", "type": "io.kestra.plugin.core.log", "values": {"message": "hi"}}])
    text = "id: f\nnamespace: {}\ntasks:\n  - {{id: t, type: io.kestra.plugin.core.log.Log}}\n"

    flow = parse_flow(text.format("company.team"), defaults=outer)

    assert "hi" == flow.tasks[0].message
    with pytest.raises(InvalidFlow, match="must not be null"):
        parse_flow(text.format("other"), defaults=outer)
