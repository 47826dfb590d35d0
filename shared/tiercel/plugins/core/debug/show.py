"""Return and Echo: an expression's value as an output, or in the log."""

from __future__ import annotations

import time
from typing import Annotated, Any, ClassVar

from tiercel.model.flow import LogLevel
from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.debug.Return", "io.kestra.core.tasks.debugs.Return")
class Return(RunnableTask, frozen=True, kw_only=True):
    """
    Return a rendered text as the output `value`.

    Example:
        id: today
        type: io.kestra.plugin.core.debug.Return
        format: "{{ execution.startDate | date('yyyy-MM-dd') }}"
    """

    COMPUTES: ClassVar[bool] = True

    format: Annotated[str | None, DYNAMIC] = None
    """The text."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Render the format, and measure its length and how long it took."""
        began = time.perf_counter()
        value = await context.render(self.format)
        if value is not None:
            context.counter("length", len(value), format=self.format or "")
        context.timer("duration", time.perf_counter() - began, format=self.format or "")
        return {"value": value}


@register("io.kestra.plugin.core.debug.Echo", "io.kestra.core.tasks.debugs.Echo")
class Echo(RunnableTask, frozen=True, kw_only=True):
    """Log a rendered text; Log does the same."""

    COMPUTES: ClassVar[bool] = True
    DEPRECATED: ClassVar[bool] = True

    format: Annotated[str | None, DYNAMIC] = None
    level: Annotated[str | LogLevel, DYNAMIC] = LogLevel.INFO

    async def run(self, context: RunContext) -> None:
        """Log the text."""
        level = await context.render(self.level, LogLevel)
        context.log(str(level), await context.render(self.format) or "")
