"""Fetch: the log lines of an execution, as a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from tiercel.client.base import TenantApi
from tiercel.model.flow import LogLevel
from tiercel.model.property import DYNAMIC
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.apitask import ApiTask, execution_objections, execution_of
from tiercel.plugins.core.storage.rows import write_row
from tiercel.plugins.objection import list_objections
from tiercel.plugins.registry import register

PAGE_SIZE: Final = 1000
"""Lines of one request: the largest page of the API."""
SETTLE_S: Final = 1.0
"""How long the lines of tasks that ended just now may take to history: its writer is never far behind, but behind."""


@register("io.kestra.plugin.kestra.logs.Fetch")
class FetchLogs(ApiTask, frozen=True, kw_only=True):
    """Store the log lines of an execution, of this one by default, as rows of a file."""

    namespace: Annotated[str | None, DYNAMIC] = None
    flow_id: Annotated[str | None, DYNAMIC] = None
    execution_id: Annotated[str | None, DYNAMIC] = None
    tasks_id: Annotated[list[str] | str | None, DYNAMIC] = None
    level: Annotated[str | LogLevel, DYNAMIC] = LogLevel.INFO

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        yield from list_objections(tasksId=self.tasks_id)
        yield from execution_objections(self.namespace, self.flow_id, self.execution_id)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Read the lines page by page, the oldest first."""
        _, _, execution_id = execution_of(
            context,
            await context.render(self.namespace),
            await context.render(self.flow_id),
            await context.render(self.execution_id),
        )
        level: LogLevel = await context.render(self.level, LogLevel) or LogLevel.INFO
        tasks: list[str] = await context.render(self.tasks_id, list[str]) or []
        if execution_id == context.execution_id:
            await asyncio.sleep(SETTLE_S)  # its own last lines are still on their way through the indexer
        target = context.working_dir / f"{os.urandom(6).hex()}.ion"
        size = 0
        async with self.asked(context) as api:
            with target.open("wb") as file:
                async for line in _lines(api, execution_id, level, tasks):
                    write_row(file, line)
                    size += 1
        return {"uri": await context.store(target.name, target, final=True), "size": size}


async def _lines(api: TenantApi, execution_id: str, level: LogLevel, tasks: list[str]) -> AsyncIterator[dict[str, Any]]:
    query = [
        ("filters[executionId][EQUALS]", execution_id),
        ("filters[level][EQUALS]", str(level)),
        ("sort", "timestamp:asc"),
        ("size", str(PAGE_SIZE)),
    ]
    if tasks:
        query.append(("filters[taskId][IN]", ",".join(tasks)))
    cursor: str | None = None
    while True:
        answer = await api.call("GET", "logs/search", query=[*query, *([("cursor", cursor)] if cursor else [])])
        for line in answer["results"]:
            yield {**line, "timestamp": datetime.fromisoformat(line["timestamp"])}
        cursor = answer.get("nextCursor")
        if cursor is None:
            return


@register("io.kestra.plugin.core.log.Fetch", "io.kestra.core.tasks.log.Fetch")
class Fetch(FetchLogs, frozen=True, kw_only=True):
    """The same under its older name, which 2.0 removed."""

    REMOVED: ClassVar[bool] = True
