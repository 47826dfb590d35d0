"""Waits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

from tiercel.model.duration import format_duration
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.flow.Sleep", "io.kestra.core.tasks.flows.Sleep")
class Sleep(RunnableTask, frozen=True, kw_only=True):
    """Do nothing for a while."""

    duration: Annotated[timedelta | str, DYNAMIC, NOT_EMPTY]

    async def run(self, context: RunContext) -> None:
        """Wait for the duration."""
        length: timedelta = await context.render(self.duration, timedelta) or timedelta()
        context.log("INFO", f"Waiting for {format_duration(length)}")
        await asyncio.sleep(max(0.0, length.total_seconds()))  # what the author asks for
