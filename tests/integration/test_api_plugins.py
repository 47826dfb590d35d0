"""What editors ask the API: types, their documentation, and JSON schemas."""

from __future__ import annotations

import jsonschema
import pytest

from tests.integration.api_stage import Stage

LOG = "io.kestra.plugin.core.log.Log"
FLOW = {"id": "a", "namespace": "b", "tasks": [{"id": "log", "type": LOG, "message": "hi"}]}


async def test_schemas_are_answered_by_kind(stage: Stage) -> None:
    """One document or a list of them; another kind is not found."""
    flow = await stage.call("GET", "plugins/schemas/flow")
    tasks = await stage.call("GET", "plugins/schemas/TASK?arrayOf=true")
    missing = await stage.call("GET", "plugins/schemas/song", 404)

    jsonschema.validate(FLOW, flow)
    jsonschema.validate(FLOW["tasks"], tasks)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([{"id": "log", "type": LOG}], tasks)
    assert "there are schemas of flow, task" in missing["message"]


async def test_types_are_listed_and_documented(stage: Stage) -> None:
    """By group; each has a page and a schema, an unknown one is not found and told what is meant."""
    groups = await stage.call("GET", "plugins")
    own = await stage.call("GET", f"plugins/{LOG}")
    older = await stage.call("GET", "plugins/io.kestra.core.tasks.log.Log")
    missing = await stage.call("GET", f"plugins/{LOG}g", 404)

    logs = next(group for group in groups if group["group"] == "io.kestra.plugin.core.log")
    assert {"cls": LOG, "deprecated": False} in logs["tasks"]
    assert own["markdown"].startswith(f"# {LOG}\n\nLog a message, or several.\n")
    assert "| `message` (required) | The line, or several. |" in own["markdown"]
    assert own["schema"] == older["schema"]
    assert "did you mean" in missing["message"]


async def test_properties_and_inputs_are_described(stage: Stage) -> None:
    """What all tasks have, and which types of inputs there are."""
    properties = await stage.call("GET", "plugins/properties/task")
    inputs = await stage.call("GET", "plugins/inputs")
    text = await stage.call("GET", "plugins/inputs/STRING")
    await stage.call("GET", "plugins/inputs/SONG", 404)

    assert "How long one attempt may take." == properties["timeout"]["description"]
    assert {"type": "STRING", "cls": "STRING"} in inputs
    assert "displayName" in text["schema"]["properties"]["properties"]
