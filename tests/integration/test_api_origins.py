"""Labels of new executions: what asked for them, and what expressions of inputs see of them."""

from __future__ import annotations

from tests.integration.api_stage import Stage
from tiercel.messages.execution_event import CreateExecution

FLOW = """
id: f
namespace: dev
labels: {team: x}
inputs:
- {id: team, type: STRING, defaults: "{{ labels.team }}"}
- {id: caller, type: STRING, defaults: "{{ labels.caller ?? 'nobody' }}"}
checks:
- {when: "{{ (labels.caller ?? '') != 'stranger' }}", message: No strangers, behavior: BLOCK_EXECUTION}
tasks:
- {id: say, type: io.kestra.plugin.core.log.Log, message: a}
"""


async def test_defaults_of_inputs_see_the_labels_of_the_execution(stage: Stage) -> None:
    """Those of the flow, and those of the request; so do checks, and the validation."""
    await stage.call("POST", "flows", content=FLOW)

    plain = await stage.call("POST", "executions/dev/f")
    called = await stage.call("POST", "executions/dev/f?labels=caller:me&labels=team:y")
    judged = await stage.call("POST", "executions/dev/f/validate?labels=caller:me")
    refused = await stage.call("POST", "executions/dev/f?labels=caller:stranger", 422)

    assert {"team": "x", "caller": "nobody"} == plain["inputs"]
    assert {"team": "y", "caller": "me"} == called["inputs"]
    assert ["x", "me"] == [each["value"] for each in judged["inputs"]]
    assert "No strangers" in refused["message"]


async def test_a_request_may_come_from_a_page(stage: Stage) -> None:
    """It is the only origin that it may name."""
    await stage.call("POST", "flows", content=FLOW)

    await stage.call("POST", "executions/dev/f?labels=system.from:ui")
    await stage.call("POST", "executions/dev/f")
    refused = await stage.call("POST", "executions/dev/f?labels=system.from:scheduler", 422)

    assert "System labels can only be set by Kestra itself" in refused["message"]
    events = [each for each in await stage.events() if isinstance(each, CreateExecution)]
    assert ["ui", "api"] == [dict(each.labels)["system.from"] for each in events]


async def test_values_of_a_field_are_asked_for_by_either_name(stage: Stage) -> None:
    """A field that has no list of values is a bad request."""
    assert [] == await stage.call("GET", "executions/distinct-field-values?field=FLOW_ID")
    assert [] == await stage.call("GET", "executions/distinct-field-values?field=namespace")
    await stage.call("GET", "executions/distinct-field-values?field=USERNAME", 400)
