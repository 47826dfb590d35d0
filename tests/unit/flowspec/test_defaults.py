"""Plugin defaults: who wins, and how far they reach."""

from __future__ import annotations

from typing import Any

from tiercel.flowspec.defaults import merge_defaults
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
