"""PurgeFlows: deletes earlier revisions of flows."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any

from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.purging import PurgeBehavior, PurgeTask, PurgeType, outdated
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.flow.PurgeFlows")
class PurgeFlows(PurgeTask, frozen=True, kw_only=True):
    """
    Delete earlier revisions of the flows of namespaces; the newest of each always stays.

    Without `behavior` only the newest stays.

    Example:
        id: purge
        type: io.kestra.plugin.core.flow.PurgeFlows
        namespaces: [company]
        behavior:
          type: version
          keepAmount: 10
    """

    KEEP_MIN = 1

    flow_pattern: Annotated[str | None, DYNAMIC] = None
    """Which flows, by a pattern such as `*_old`; without it all."""
    behavior: PurgeBehavior = PurgeBehavior(type=PurgeType.VERSION)
    """Which revisions go: those before a date, or all but the newest so many."""

    async def run(self, context: RunContext) -> dict[str, int]:
        """Delete the revisions and tell how many they were."""
        pattern = await context.render(self.flow_pattern) or "*"
        rule = await self.behavior.rule(context, self.KEEP_MIN)
        namespaces = await self.find_namespaces(context)
        api = context.api()
        size = 0
        for namespace in namespaces:
            flows: list[dict[str, Any]] = await api.call("GET", f"flows/{namespace}")
            for flow_id in [flow["id"] for flow in flows if fnmatchcase(flow["id"], pattern)]:
                path = f"flows/{namespace}/{flow_id}/revisions"
                rows: list[dict[str, Any]] = await api.call("GET", path)
                found = [(row["revision"], datetime.fromisoformat(row["updated"])) for row in rows]
                gone = outdated(found, rule)
                if gone:
                    query = [("revisions", ",".join(str(number) for number in gone))]
                    size += len((await api.call("DELETE", path, query=query))["revisions"])
        context.log("INFO", f"Purged {size} revisions of flows in {len(namespaces)} namespaces.")
        return {"size": size}
