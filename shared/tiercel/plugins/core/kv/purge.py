"""PurgeKV: deletes keys of several namespaces, expired ones by default, or earlier versions of keys."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.purging import PurgeBehavior, PurgeTask, PurgeType, outdated
from tiercel.plugins.registry import register


class Behavior(PurgeBehavior, frozen=True, kw_only=True):
    """Which keys go: expired ones only, or all that the pattern means; or which versions of them."""

    expired_only: Annotated[bool | str, DYNAMIC] = True


@register("io.kestra.plugin.core.kv.PurgeKV")
class PurgeKV(PurgeTask, frozen=True, kw_only=True):
    """Delete keys, or versions of keys, of the named namespaces, of those that a pattern means, or of all."""

    key_pattern: Annotated[str | None, DYNAMIC] = None
    behavior: Behavior = Behavior()
    expired_only: Annotated[bool | str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, int]:
        """Delete the keys or versions and tell how many they were."""
        flag = self.behavior.expired_only if self.expired_only is None else self.expired_only
        expired_only = await context.render(flag, bool) is not False
        pattern = await context.render(self.key_pattern)
        rule = await self.behavior.rule(context, self.KEEP_MIN)
        size = 0
        for namespace in await self.find_namespaces(context):
            for key in await context.key_values.names(namespace):
                if pattern is not None and not fnmatchcase(key, pattern):
                    continue
                if self.behavior.type is PurgeType.VERSION:
                    versions = await context.key_values.versions(namespace, key)
                    gone = outdated([(each.version, each.update_date) for each in versions], rule)
                    if len(gone) < len(versions):
                        for version in gone:
                            size += await context.key_values.purge_version(namespace, key, version)
                    elif await context.key_values.purge(namespace, key):
                        size += len(gone)
                elif not expired_only or await context.key_values.entry(namespace, key) is None:
                    size += await context.key_values.purge(namespace, key)
        return {"size": size}
