"""PurgeKV: deletes keys of several namespaces, expired ones by default."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC, Node
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register
from tiercel.storage import uris

_FOLDER = "/_kv/"


class PurgeType(StrEnum):
    """What is purged."""

    KEY = "key"
    VERSION = "version"


class Behavior(Node, frozen=True, kw_only=True):
    """Which keys go: expired ones only, or all that the pattern means."""

    type: PurgeType = PurgeType.KEY
    expired_only: Annotated[bool | str, DYNAMIC] = True
    before: Annotated[str | None, DYNAMIC] = None
    keep_amount: Annotated[int | str | None, DYNAMIC] = None


@register("io.kestra.plugin.core.kv.PurgeKV")
class PurgeKV(RunnableTask, frozen=True, kw_only=True):
    """Delete keys of the named namespaces, of those that a pattern means, or of all."""

    namespaces: Annotated[list[str] | str | None, DYNAMIC] = None
    namespace_pattern: Annotated[str | None, DYNAMIC] = None
    include_child_namespaces: Annotated[bool | str, DYNAMIC] = True
    key_pattern: Annotated[str | None, DYNAMIC] = None
    behavior: Behavior = Behavior()
    expired_only: Annotated[bool | str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, int]:
        """Delete the keys and tell how many they were."""
        if self.behavior.type is PurgeType.VERSION:
            # A value is replaced as a whole when it is set: there are no earlier versions to purge.
            return {"size": 0}
        flag = self.behavior.expired_only if self.expired_only is None else self.expired_only
        expired_only = await context.render(flag, bool) is not False
        pattern = await context.render(self.key_pattern)
        size = 0
        for namespace in await self.find_namespaces(context):
            current = set(await context.key_values.keys(namespace)) if expired_only else set()
            for entry in await context.key_values.entries(namespace, expired=True):
                if entry.key not in current and (pattern is None or fnmatchcase(entry.key, pattern)):
                    size += await context.key_values.delete(namespace, entry.key)
        return {"size": size}

    async def find_namespaces(self, context: RunContext) -> list[str]:
        """Return the namespaces that are meant: named ones, and of the others those that have keys."""
        named: list[str] | None = await context.render(self.namespaces, list[str])
        pattern = await context.render(self.namespace_pattern)
        if named is not None and pattern is not None:
            raise TaskFailed("Properties 'namespaces' and 'namespacePattern' exclude each other; keep one.")
        known = await _with_keys(context)
        if named is not None:
            children = await context.render(self.include_child_namespaces, bool) is not False
            below = [name for name in known if children and any(name.startswith(f"{each}.") for each in named)]
            return list(dict.fromkeys([*named, *below]))
        return [name for name in known if pattern is None or fnmatchcase(name, pattern)]


async def _with_keys(context: RunContext) -> list[str]:
    found = await context.storage.by_prefix(context.tenant_id, "/")
    folders = dict.fromkeys(uris.path_of(uri).partition(_FOLDER)[0] for uri in found if _FOLDER in uri)
    return [folder.strip("/").replace("/", ".") for folder in folders]
