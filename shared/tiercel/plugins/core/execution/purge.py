"""PurgeExecutions: deletes executions that have ended, with everything of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC, constant
from tiercel.model.state import State
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.apitask import ApiTask
from tiercel.plugins.core.purging import NAMESPACE_NEEDED
from tiercel.plugins.core.storage.split import positive
from tiercel.plugins.objection import list_objections
from tiercel.plugins.registry import register

BATCH_SIZE: Final = 100
"""Executions of one request, unless the author says otherwise: each may have many files."""
_COUNTS: Final = ("executionsCount", "logsCount", "metricsCount", "taskOutputsCount", "storagesCount")


@register(
    "io.kestra.plugin.core.execution.PurgeExecutions",
    "io.kestra.plugin.core.storage.Purge",
    "io.kestra.core.tasks.storages.Purge",
)
class PurgeExecutions(ApiTask, frozen=True, kw_only=True):
    """
    Delete executions by flow, by namespace and those below it, or all; with their logs, metrics and files.

    Those that have not ended are left alone, whatever `states` says.
    """

    end_date: Annotated[datetime | str, DYNAMIC]
    start_date: Annotated[datetime | str | None, DYNAMIC] = None
    namespace: Annotated[str | None, DYNAMIC] = None
    flow_id: Annotated[str | None, DYNAMIC] = None
    states: Annotated[list[State] | str | None, DYNAMIC] = None
    purge_execution: Annotated[bool | str, DYNAMIC] = True
    purge_log: Annotated[bool | str, DYNAMIC] = True
    purge_metric: Annotated[bool | str, DYNAMIC] = True
    purge_storage: Annotated[bool | str, DYNAMIC] = True
    batch_size: Annotated[int | str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        yield from list_objections(states=self.states)
        if constant(self.flow_id) and self.namespace is None:
            yield Objection(("flowId",), NAMESPACE_NEEDED, refuses=False)

    async def run(self, context: RunContext) -> dict[str, int]:
        """Delete the executions batch by batch; tell how many there were of each kind of thing."""
        body: dict[str, Any] = {
            "namespace": await context.render(self.namespace),
            "flowId": await context.render(self.flow_id),
            "startDate": await context.render(self.start_date, datetime),
            "endDate": await context.render(self.end_date, datetime),
            "states": await context.render(self.states, list[State]),
            "purgeExecution": await context.render(self.purge_execution, bool),
            "purgeLog": await context.render(self.purge_log, bool),
            "purgeMetric": await context.render(self.purge_metric, bool),
            "purgeStorage": await context.render(self.purge_storage, bool),
            "size": positive(await context.render(self.batch_size, int), "batchSize") or BATCH_SIZE,
        }
        if body["flowId"] and not body["namespace"]:
            raise TaskFailed(NAMESPACE_NEEDED)
        plain = msgspec.to_builtins({name: value for name, value in body.items() if value is not None})
        total: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
        async with self.asked(context) as api:
            while True:
                answer = await api.call("POST", "executions/purge", body=plain)
                for name in _COUNTS:
                    total[name] += answer[name]
                if answer.get("nextCursor") is None:
                    return dict(total)
                plain["cursor"] = answer["nextCursor"]
