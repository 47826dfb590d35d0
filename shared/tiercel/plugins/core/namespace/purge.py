"""PurgeFiles: deletes files of several namespaces, or earlier revisions of them."""

from __future__ import annotations

from typing import Annotated

from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.purging import PurgeBehavior, PurgeTask, PurgeType, outdated
from tiercel.plugins.registry import register
from tiercel.storage.namespace_files import NamespaceFolder
from tiercel.storage.patterns import PathPatterns


@register("io.kestra.plugin.core.namespace.PurgeFiles")
class PurgeFiles(PurgeTask, frozen=True, kw_only=True):
    """Delete earlier revisions of files (or the files) of the named namespaces, of those a pattern means, or of all."""

    FOLDER = "/_files/"

    file_pattern: Annotated[str | None, DYNAMIC] = None
    behavior: PurgeBehavior = PurgeBehavior(type=PurgeType.VERSION)

    async def run(self, context: RunContext) -> dict[str, int]:
        """Delete the revisions or files and tell how many they were."""
        pattern = await context.render(self.file_pattern)
        rule = await self.behavior.rule(context, self.KEEP_MIN)
        size = 0
        for namespace in await self.find_namespaces(context):
            files = NamespaceFolder(context.storage, context.tenant_id, namespace)
            chosen = PathPatterns([pattern or "**"])
            for path in [path for path in await files.names() if chosen.match(path)]:
                if self.behavior.type is PurgeType.VERSION:
                    found = [(each.revision, each.updated_at) for each in await files.revisions(path)]
                    gone = outdated(found, rule)
                    if len(gone) < len(found):
                        for revision in gone:
                            size += await files.purge_revision(path, revision)
                    elif await files.purge(path):
                        size += len(gone)
                else:
                    size += await files.purge(path)
        return {"size": size}
