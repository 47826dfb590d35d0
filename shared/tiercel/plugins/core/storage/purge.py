"""PurgeCurrentExecutionFiles and PurgeStorage: delete what executions have stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from tiercel.errors import NotFound, Refused
from tiercel.model.property import DYNAMIC, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.purging import NAMESPACE_NEEDED
from tiercel.plugins.registry import register
from tiercel.storage import uris

_EXECUTIONS = "/executions/"


@register(
    "io.kestra.plugin.core.storage.PurgeCurrentExecutionFiles",
    "io.kestra.plugin.core.storage.PurgeExecution",
    "io.kestra.core.tasks.storages.PurgeExecution",
)
class PurgeCurrentExecutionFiles(RunnableTask, frozen=True, kw_only=True):
    """Delete all files of this execution."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Delete them and return their URIs, and behind them that of the execution's folder, which goes with them."""
        prefix = uris.execution(context.namespace, context.flow_id, context.execution_id)
        files = await context.storage.delete_by_prefix(context.tenant_id, prefix)
        return {"uris": [*files, f"{uris.uri(prefix)}/"] if files else []}


@register("io.kestra.plugin.core.storage.PurgeStorage")
class PurgeStorage(RunnableTask, frozen=True, kw_only=True):
    """Delete files of executions by their age, of a flow, of a namespace and those below it, or of all."""

    end_date: Annotated[datetime | str, DYNAMIC]
    start_date: Annotated[datetime | str | None, DYNAMIC] = None
    namespace: Annotated[str | None, DYNAMIC] = None
    flow_id: Annotated[str | None, DYNAMIC] = None
    dry_run: Annotated[bool | str, DYNAMIC] = True

    def objections(self) -> Iterator[Objection]:
        if constant(self.flow_id) and self.namespace is None:
            yield Objection(("flowId",), NAMESPACE_NEEDED, refuses=False)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Look at every file; delete those between the dates, unless this is a dry run."""
        until: datetime = await context.render(self.end_date, datetime)
        since: datetime | None = await context.render(self.start_date, datetime)
        dry_run = await context.render(self.dry_run, bool) is not False
        scanned = purged = deleted = size = 0
        for uri in await context.storage.by_prefix(context.tenant_id, await self._prefix(context)):
            if _EXECUTIONS not in uri:
                continue
            scanned += 1
            try:
                attributes = await context.storage.attributes(context.tenant_id, uri)
            except NotFound:
                continue  # somebody else has deleted it
            modified = attributes.last_modified_time
            if modified > until or (since is not None and modified < since):
                continue
            purged += 1
            size += attributes.size
            if not dry_run:
                deleted += await context.storage.delete(context.tenant_id, uri)
        return {
            "scannedCount": scanned,
            "purgedCount": purged,
            "deletedFilesCount": deleted,
            "purgedSize": size,
        }

    async def _prefix(self, context: RunContext) -> str:
        namespace, flow_id = await context.render(self.namespace), await context.render(self.flow_id)
        if flow_id and not namespace:
            raise Refused(NAMESPACE_NEEDED)
        if flow_id:
            return f"{uris.flow(namespace, flow_id)}/executions"
        return uris.namespace(namespace) if namespace else "/"
