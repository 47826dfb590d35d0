"""PurgeLogs: deletes log lines of a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from tiercel.client.base import TenantApi
from tiercel.model.flow import LogLevel
from tiercel.model.property import DYNAMIC
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.apitask import ApiTask
from tiercel.plugins.core.storage.split import positive
from tiercel.plugins.objection import list_objections
from tiercel.plugins.registry import register

BATCH_SIZE: Final = 10_000
"""Lines of one request, unless the author says otherwise."""


@register("io.kestra.plugin.core.log.PurgeLogs")
class PurgeLogs(ApiTask, frozen=True, kw_only=True):
    """
    Delete log lines of an execution, of a flow, of a namespace and those below it, or of all.

    They may be those of executions, of triggers, or both.
    """

    end_date: Annotated[datetime | str, DYNAMIC]
    start_date: Annotated[datetime | str | None, DYNAMIC] = None
    namespace: Annotated[str | None, DYNAMIC] = None
    flow_id: Annotated[str | None, DYNAMIC] = None
    execution_id: Annotated[str | None, DYNAMIC] = None
    log_levels: Annotated[list[LogLevel] | str | None, DYNAMIC] = None
    purge_execution_logs: Annotated[bool | str, DYNAMIC] = True
    purge_non_execution_logs: Annotated[bool | str, DYNAMIC] = True
    batch_size: Annotated[int | str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        yield from list_objections(logLevels=self.log_levels)

    async def run(self, context: RunContext) -> dict[str, int]:
        """Delete the lines batch by batch; tell how many they were."""
        body: dict[str, Any] = {
            "namespace": await context.render(self.namespace),
            "flowId": await context.render(self.flow_id),
            "executionId": await context.render(self.execution_id),
            "startDate": await context.render(self.start_date, datetime),
            "endDate": await context.render(self.end_date, datetime),
            "logLevels": await context.render(self.log_levels, list[LogLevel]),
            "size": positive(await context.render(self.batch_size, int), "batchSize") or BATCH_SIZE,
        }
        own = others = 0
        async with self.asked(context) as api:
            if await context.render(self.purge_execution_logs, bool) is not False:
                own = await _purged(api, {**body, "ofExecutions": True})
            if await context.render(self.purge_non_execution_logs, bool) is not False:
                others = await _purged(api, {**body, "ofExecutions": False})
        return {"count": own + others, "executionLogsCount": own, "nonExecutionLogsCount": others}


async def _purged(api: TenantApi, body: dict[str, Any]) -> int:
    plain = msgspec.to_builtins({name: value for name, value in body.items() if value is not None})
    total = 0
    while True:
        count: int = (await api.call("POST", "logs/purge", body=plain))["count"]
        total += count
        if count < body["size"]:
            return total
