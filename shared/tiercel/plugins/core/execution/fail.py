"""Fail and Assert: end an execution as failed, always or when something does not hold."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from tiercel.errors import ExpressionError, TaskFailed
from tiercel.expression.truth import means_true
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.execution.Fail", "io.kestra.core.tasks.executions.Fail")
class Fail(RunnableTask, frozen=True, kw_only=True):
    """Fail, or fail when the condition holds."""

    COMPUTES: ClassVar[bool] = True

    condition: Annotated[Any, DYNAMIC] = None
    """It fails only when this is true; without it always."""
    error_message: Annotated[str, DYNAMIC] = "Task failure"
    """Why."""

    async def run(self, context: RunContext) -> None:
        """Raise the message."""
        if self.condition is None or means_true(await context.render(self.condition, str)):
            raise TaskFailed(await context.render(self.error_message) or "Task failure")


@register("io.kestra.plugin.core.execution.Assert")
class Assert(RunnableTask, frozen=True, kw_only=True):
    """Fail unless all conditions hold; all of them are tried."""

    COMPUTES: ClassVar[bool] = True

    conditions: Annotated[list[str] | str, DYNAMIC, NOT_EMPTY]
    """What must be true."""
    error_message: Annotated[str | None, DYNAMIC] = None
    """What is said when one of them is not."""

    async def run(self, context: RunContext) -> None:
        """Try every condition and log those that do not hold, as they are written."""
        conditions = self.conditions if isinstance(self.conditions, list) else [self.conditions]
        failed = 0
        for condition in conditions:
            try:
                if means_true(await context.render(condition, str)):
                    continue
                context.log("ERROR", f"Assertion `{condition}` failed!")
            except ExpressionError as error:
                context.log("ERROR", f"Assertion `{condition}` failed, failed to render `{error}`")
            failed += 1
        context.counter("failed", failed)
        context.counter("success", len(conditions) - failed)
        if failed:
            message = await context.render(self.error_message)
            count = f"{failed} assertion{'s' if failed > 1 else ''} failed!"
            raise TaskFailed(f"{count}\n{message}" if message else count)
