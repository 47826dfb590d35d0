"""Webhooks through the API: what starts an execution, and what is turned away."""

from __future__ import annotations

import pytest

from tests.integration.api_stage import Stage
from tiercel.messages.execution_event import CreateExecution

HOOK = """
id: hook
namespace: company.team
labels: {flow: label}
inputs:
  - id: who
    type: STRING
tasks:
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
triggers:
  - id: web
    type: io.kestra.plugin.core.trigger.Webhook
    key: "{{ secret('KEY') }}"
    when: "{{ trigger.body.who != 'nobody' }}"
    inputs:
      who: "{{ trigger.body.who }}"
    labels:
      caller: "{{ trigger.body.who }}"
      nobody: "{{ trigger.body.nothing }}"
"""


@pytest.mark.parametrize("kind", ["application/json", "application/cloudevents+json; charset=utf-8"])
async def test_a_webhook_refuses_what_is_said_to_be_json_and_is_none(stage: Stage, kind: str) -> None:
    """A body that was cut off on its way starts nothing; without the claim it is a text."""
    await stage.call("POST", "flows", content=HOOK)
    path = "executions/webhook/company.team/hook/hook"

    refused = await stage.call("POST", path, 400, content=b'{"who": "yo', headers={"content-type": kind})

    assert refused["message"].startswith("Bad Request: The body is not JSON, as its content type says: ")
    assert [] == await stage.events()
    method = await stage.http.request("DELETE", f"/api/v1/main/{path}", content=b"{}")
    assert 405 == method.status_code


async def test_a_webhook_starts_an_execution(stage: Stage) -> None:
    """The key may be a secret, `when` sees the body, inputs and labels are rendered from it."""
    await stage.call("POST", "flows", content=HOOK)
    path = "executions/webhook/company.team/hook"

    started = await stage.call("POST", f"{path}/hook?a=1&a=2", json={"who": "me"})
    await stage.call("POST", f"{path}/hook", 204, json={"who": "nobody"})
    await stage.call("POST", f"{path}/hook", 204, json={"what": "a condition that cannot be told does not hold"})
    unknown = await stage.call("POST", f"{path}/wrong", 404, json={})

    (event,) = await stage.events()
    assert isinstance(event, CreateExecution)
    assert event.trigger is not None
    assert {"who": "me"} == event.inputs == started["inputs"] == event.trigger.variables["body"]
    assert {"a": ["1", "2"]} == event.trigger.variables["parameters"]
    assert {"flow": "label", "caller": "me", "system.from": "trigger"}.items() <= dict(event.labels).items()
    assert "nobody" not in dict(event.labels)
    assert "Not Found: Webhook not found" == unknown["message"]


async def test_a_webhook_takes_no_path_below_its_key(stage: Stage) -> None:
    """Not even an empty one."""
    await stage.call("POST", "flows", content=HOOK)

    for rest in ("/", "/more", "/more/of/it"):
        for prefix in ("", "/api/v1/"):
            await stage.call(
                "POST", f"{prefix}executions/webhook/company.team/hook/hook{rest}", 404, json={"who": "me"}
            )

    assert [] == await stage.events()
