"""Writes lines into the execution's log."""

from __future__ import annotations

from typing import Annotated, ClassVar

from tiercel.model.flow import LogLevel
from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.log.Log", "io.kestra.core.tasks.log.Log", "io.kestra.core.tasks.debugs.Log")
class Log(RunnableTask, frozen=True, kw_only=True):
    """
    Log a message, or several.

    Example:
        id: greet
        type: io.kestra.plugin.core.log.Log
        message: Hello {{ inputs.name }}
        level: WARN
    """

    COMPUTES: ClassVar[bool] = True

    message: Annotated[str | list[str], DYNAMIC]
    """The line, or several."""
    level: Annotated[str | LogLevel, DYNAMIC] = LogLevel.INFO
    """The level of the lines."""

    async def run(self, context: RunContext) -> None:
        """Log each message as one line."""
        level = self.level
        if type(level) is str:
            level = await context.render(level, LogLevel) or LogLevel.INFO
        message = self.message
        if isinstance(message, str):
            context.log(str(level), await context.render(message))
        else:
            for each in await context.render(message, list[str]):
                context.log(str(level), each)
