"""Count: how many executions there were, of flows or namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.expression.truth import says_true
from tiercel.model.property import DYNAMIC, NOT_EMPTY, Node
from tiercel.model.state import State
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.apitask import ApiTask
from tiercel.plugins.objection import list_objections
from tiercel.plugins.registry import register

NOTHING_NAMED: Final = "Nothing is named that could be counted; set 'flows' or 'namespaces'."
EVER: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any execution."""


class CountedFlow(Node, frozen=True, kw_only=True):
    """A flow whose executions are counted."""

    namespace: Annotated[str, DYNAMIC, NOT_EMPTY]
    flow_id: Annotated[str, DYNAMIC, NOT_EMPTY]


async def counted(task: ApiTask, context: RunContext, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for the counts of flows or namespaces."""
    plain = msgspec.to_builtins({name: value for name, value in body.items() if value})
    async with task.asked(context) as api:
        found: dict[str, Any] = await api.call("POST", "executions/count", body=plain)
        return found


@register("io.kestra.plugin.core.execution.Count", "io.kestra.core.tasks.executions.Counts")
class Count(ApiTask, frozen=True, kw_only=True):
    """Count executions, and keep the counts for which the expression, over `count`, is true."""

    REMOVED: ClassVar[bool] = True

    flows: tuple[CountedFlow, ...] | None = None
    namespaces: Annotated[list[str] | str | None, DYNAMIC] = None
    states: Annotated[list[State] | str | None, DYNAMIC] = None
    start_date: Annotated[datetime | str, DYNAMIC]
    end_date: Annotated[datetime | str | None, DYNAMIC] = None
    expression: Annotated[str, DYNAMIC, NOT_EMPTY]

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        yield from list_objections(namespaces=self.namespaces, states=self.states)
        if not self.flows and not self.namespaces:
            yield Objection((), NOTHING_NAMED, refuses=False)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Return the counts that the expression is true for; `total` is of these."""
        namespaces: list[str] = await context.render(self.namespaces, list[str]) or []
        if not self.flows and not namespaces:
            raise TaskFailed(NOTHING_NAMED)
        answer = await counted(
            self,
            context,
            {
                "flows": [
                    {"namespace": await context.render(flow.namespace), "flowId": await context.render(flow.flow_id)}
                    for flow in self.flows or ()
                ],
                "namespaces": namespaces,
                "states": await context.render(self.states, list[State]),
                "startDate": await context.render(self.start_date, datetime),
                "endDate": await context.render(self.end_date, datetime),
            },
        )
        kept = []
        for result in answer["results"]:
            if says_true(await context.render(self.expression, count=result["count"])):
                kept.append(result)
        return {"results": kept, "total": sum(result["count"] for result in kept)}


@register("io.kestra.plugin.kestra.executions.Count")
class CountAll(ApiTask, frozen=True, kw_only=True):
    """Count executions as one number; it is 0 when the expression, over `count`, is not true."""

    namespaces: Annotated[list[str] | str | None, DYNAMIC] = None
    flow_id: Annotated[str | None, DYNAMIC] = None
    states: Annotated[list[State] | str | None, DYNAMIC] = None
    start_date: Annotated[datetime | str | None, DYNAMIC] = None
    end_date: Annotated[datetime | str | None, DYNAMIC] = None
    expression: Annotated[str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        yield from list_objections(namespaces=self.namespaces, states=self.states)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Return the count."""
        namespaces: list[str] = await context.render(self.namespaces, list[str]) or [context.namespace]
        flow_id = await context.render(self.flow_id)
        named: dict[str, Any] = {"namespaces": namespaces}
        if flow_id:
            named = {"flows": [{"namespace": namespace, "flowId": flow_id} for namespace in namespaces]}
        answer = await counted(
            self,
            context,
            {
                **named,
                "states": await context.render(self.states, list[State]),
                "startDate": await context.render(self.start_date, datetime) or EVER,
                "endDate": await context.render(self.end_date, datetime),
            },
        )
        count = answer["total"]
        if self.expression is not None and not says_true(await context.render(self.expression, count=count)):
            count = 0
        return {"count": count}
