"""Toggle: disables or enables a trigger."""

from __future__ import annotations

from typing import Annotated, ClassVar

from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.apitask import ApiTask
from tiercel.plugins.registry import register


class ToggleTask(ApiTask, frozen=True, kw_only=True):
    """A task that disables or enables triggers."""

    namespace: Annotated[str | None, DYNAMIC] = None
    flow_id: Annotated[str | None, DYNAMIC] = None
    enabled: Annotated[bool | str, DYNAMIC] = False


@register("io.kestra.plugin.core.trigger.Toggle", "io.kestra.core.tasks.trigger.Toggle")
class Toggle(ToggleTask, frozen=True, kw_only=True):
    """Disable or enable one trigger, of this flow by default."""

    REMOVED: ClassVar[bool] = True

    trigger: Annotated[str, DYNAMIC, NOT_EMPTY]

    async def run(self, context: RunContext) -> None:
        """Give the command; a trigger that does not exist fails the task."""
        body = {
            "namespace": await context.render(self.namespace) or context.namespace,
            "flowId": await context.render(self.flow_id) or context.flow_id,
            "triggerId": await context.render(self.trigger),
            "disabled": not await context.render(self.enabled, bool),
        }
        async with self.asked(context) as api:
            await api.call("PUT", "triggers/set-disabled", body=body)


@register("io.kestra.plugin.kestra.triggers.Toggle")
class ToggleTriggers(ToggleTask, frozen=True, kw_only=True):
    """Disable or enable triggers by namespace (this flow's by default), flow and id."""

    trigger: Annotated[str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> None:
        """Give the command to all that are meant, and log how many they are."""
        enabled = bool(await context.render(self.enabled, bool))
        query = [
            ("disabled", "false" if enabled else "true"),
            ("filters[namespace][EQUALS]", await context.render(self.namespace) or context.namespace),
        ]
        for name, value in (("flowId", self.flow_id), ("triggerId", self.trigger)):
            rendered = await context.render(value)
            if rendered:
                query.append((f"filters[{name}][EQUALS]", rendered))
        async with self.asked(context) as api:
            answer = await api.call("POST", "triggers/set-disabled/by-query", query=query)
        context.log("INFO", f"{answer.get('totalItems', answer.get('count', 0))} triggers found to toggle")
