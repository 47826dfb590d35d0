"""Resume: lets a paused execution go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from tiercel.expression.printing import text_of
from tiercel.model.property import DYNAMIC
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.apitask import ApiTask, execution_objections, execution_of
from tiercel.plugins.registry import register


@register("io.kestra.plugin.kestra.executions.Resume")
class ResumeExecution(ApiTask, frozen=True, kw_only=True):
    """Resume an execution, this one by default, with the inputs that its pause asks for."""

    namespace: Annotated[str | None, DYNAMIC] = None
    flow_id: Annotated[str | None, DYNAMIC] = None
    execution_id: Annotated[str | None, DYNAMIC] = None
    inputs: Annotated[dict[str, Any] | str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        yield from execution_objections(self.namespace, self.flow_id, self.execution_id)

    async def run(self, context: RunContext) -> None:
        """Give the command; an execution that is not paused fails the task."""
        _, _, execution_id = execution_of(
            context,
            await context.render(self.namespace),
            await context.render(self.flow_id),
            await context.render(self.execution_id),
        )
        inputs: dict[str, Any] = await context.render(self.inputs, dict[str, Any]) or {}
        form = {name: text_of(value) for name, value in inputs.items() if value is not None}
        async with self.asked(context) as api:
            await api.call("POST", f"executions/{execution_id}/actions/resume", form=form or None)


@register("io.kestra.plugin.core.execution.Resume")
class Resume(ResumeExecution, frozen=True, kw_only=True):
    """The same under its older name, which 2.0 removed."""

    REMOVED: ClassVar[bool] = True
