"""Flows that are sent as JSON: saved as YAML, one or many, and switched off and on like others."""

from __future__ import annotations

from typing import Any

from tests.integration.api_stage import Stage


def flow(flow_id: str, **more: Any) -> dict[str, Any]:
    say = {"id": "say", "type": "io.kestra.plugin.core.log.Log", "message": "one\ntwo"}
    return {"id": flow_id, "namespace": "dev", "tasks": [say], **more}


async def test_a_flow_in_json_is_kept_as_yaml(stage: Stage) -> None:
    """It can be edited, and disabled; what is sent again is no new revision."""
    saved = await stage.call("POST", "flows", json=flow("one", labels={"a": "b"}))
    again = await stage.call("PUT", "flows/dev/one", json=flow("one", labels={"a": "b"}))

    assert "id: one\nnamespace: dev\ntasks:\n- id: say\n" in saved["source"]
    assert "message: |-\n    one\n    two\n" in saved["source"]
    assert [{"key": "a", "value": "b"}] == saved["labels"]
    assert 1 == again["revision"]
    assert {"count": 1} == await stage.call("POST", "flows/disable/by-ids", json=[{"namespace": "dev", "id": "one"}])
    assert (await stage.call("GET", "flows/dev/one"))["disabled"]
    assert {"count": 1} == await stage.call("POST", "flows/enable/by-ids", json=[{"namespace": "dev", "id": "one"}])


async def test_a_flow_in_braces_is_disabled_too(stage: Stage) -> None:
    """Its text is written in lines then."""
    tasks = "[{id: say, type: io.kestra.plugin.core.log.Log, message: a}]"
    await stage.call("POST", "flows", content=f"{{id: one, namespace: dev, tasks: {tasks}}}")

    assert {"count": 1} == await stage.call("POST", "flows/disable/by-query", json={})

    assert (await stage.call("GET", "flows/dev/one?source=true"))["source"].endswith("disabled: true\n")


async def test_the_flows_of_a_namespace_may_be_a_list(stage: Stage) -> None:
    """As those of a text: others of the namespace are deleted, foreign ones and doubles are refused."""
    await stage.call("POST", "flows/dev", json=[flow("one"), flow("two")])
    saved = await stage.call("POST", "flows/dev", json=[flow("two", description="new"), flow("three")])
    foreign = await stage.call("POST", "flows/dev", 422, json=[flow("two", namespace="prod")])
    double = await stage.call("POST", "flows/dev", 422, json=[flow("two"), flow("two")])

    assert [("two", 2), ("three", 1)] == [(each["id"], each["revision"]) for each in saved]
    assert "flow.namespace" in foreign["message"]
    assert "flow.id: Duplicate" in double["message"]
    await stage.call("GET", "flows/dev/one", 404)


async def test_the_text_of_a_flow_is_shown_when_asked_for(stage: Stage) -> None:
    """A flow is its properties otherwise."""
    await stage.call("POST", "flows", json=flow("one"))

    assert "source" not in await stage.call("GET", "flows/dev/one")
    assert "source" in await stage.call("GET", "flows/dev/one?source=true")
