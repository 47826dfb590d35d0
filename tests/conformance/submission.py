"""What a test harness does in place of the API: it types inputs itself, and renders expressions as a worker does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conformance.engine import Engine
from tests.conformance.values import Upload, plain
from tiercel.model.flow import Dialect, Flow
from tiercel.storage import uris
from tiercel.webserver.inputs import file_inputs, typed_values


async def typed_inputs(
    engine: Engine, flow: Flow, given: Mapping[str, Any], execution_id: str
) -> dict[str, Any] | None:
    """Return a flow's inputs, typed; raise InvalidInput with all problems."""
    if not flow.inputs:
        return None
    files = file_inputs(flow.inputs)
    values: dict[str, Any] = {}
    for name, value in given.items():
        content, file_name = _file(value) if name in files else (None, "")
        if content is not None:
            path = uris.input_file(flow.namespace, flow.id, execution_id, name, file_name)
            values[name] = await engine.storage.put(flow.tenant_id, path, content)
        else:
            values[name] = value.content.decode() if isinstance(value, Upload) else plain(value)
    return await typed_values(engine.api, flow, execution_id, flow.inputs, values)


def _file(value: Any) -> tuple[bytes | None, str]:
    if isinstance(value, Upload):
        return value.content, value.filename
    if isinstance(value, str) and value.startswith("/") and Path(value).is_file():
        return Path(value).read_bytes(), Path(value).name
    return None, ""


async def render_expression(engine: Engine, expression: str, variables: Mapping[str, Any]) -> Any:
    """Render an expression outside an execution."""
    return await engine.api.expressions.rendered(
        engine.tenant, Dialect.V2, lambda renderer: renderer.render(expression, variables)
    )
