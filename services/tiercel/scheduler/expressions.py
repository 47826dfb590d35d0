"""Decisions of the scheduler's core that render: made as often as it takes to know what they ask for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from tiercel.condition.evaluate import Render
from tiercel.expression.rendering import Renderer
from tiercel.model.flow import Dialect, Flow
from tiercel.model.tenant import MAIN_TENANT
from tiercel.runtime import expressions

T = TypeVar("T")


class Expressions(expressions.Expressions):
    """Renders for one flow or, before a flow is known, for none."""

    async def decided(self, flow: Flow | None, at: datetime, decision: Callable[[Render], T]) -> T:
        """Make a decision about a flow at a time."""
        return await self.decided_by(flow, at, lambda renderer: decision(renderer.render))

    async def decided_by(self, flow: Flow | None, at: datetime, decision: Callable[[Renderer], T]) -> T:
        """Make a decision that needs more of the renderer than texts."""
        tenant_id, dialect = (flow.tenant_id, flow.dialect) if flow is not None else (MAIN_TENANT, Dialect.V2)
        return await self.rendered(tenant_id, dialect, decision, at=at)
