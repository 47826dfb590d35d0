"""What a test harness does in place of the API: it types inputs itself, and renders expressions as a worker does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.engine import Engine
from tests.conformance.result import LeftOut
from tiercel.model.flow import Flow


async def typed_inputs(
    engine: Engine, flow: Flow, given: Mapping[str, Any], execution_id: str
) -> dict[str, Any] | None:
    """Return a flow's inputs, typed; raise InvalidInput with all problems."""
    raise LeftOut("Typed inputs are not wired yet.")


async def render_expression(engine: Engine, expression: str, variables: Mapping[str, Any]) -> Any:
    """Render an expression outside an execution, as a worker does."""
    raise LeftOut("Rendering as a worker is not wired yet.")
