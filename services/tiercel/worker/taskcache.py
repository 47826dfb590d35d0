"""
Outputs that serve again: a task with `taskCache` whose rendered properties are those of an earlier run does not run.

The entry lies beside the task's other caches, named by a digest of the rendered properties, so that a change of any of
them, or of what an expression in them gives, is another entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tiercel.errors import NotFound, TiercelError
from tiercel.expression.plain import plain
from tiercel.expression.printing import json_of
from tiercel.model.task import TaskCache
from tiercel.storage import uris
from tiercel.worker.context import TaskContext

_UNRELATED: Final = frozenset({"description", "retry", "timeout", "taskCache", "logLevel", "logToFile"})
"""Properties that say nothing about what the task does."""


_FOLDERS: Final[dict[str, Any]] = {
    "workingDir": "workingDir",
    "outputDir": "outputDir",
    "outputFiles": {},
    "bucketPath": None,
}
"""Variables that scripts see and that differ in every run: they do not count."""


class TaskOutputCache:
    """The cached outputs of one task with its properties of now."""

    def __init__(self, context: TaskContext, cache: TaskCache, definition: Mapping[str, Any]) -> None:
        self._context = context
        self._cache = cache
        self._definition = {name: value for name, value in definition.items() if name not in _UNRELATED}
        self._path: str | None = None

    async def find(self) -> dict[str, Any] | None:
        """Return the outputs of an earlier run; None when there are none that are young enough."""
        context = self._context
        try:
            rendered = json_of(await context.render(self._definition, dict[str, Any], **_FOLDERS))
        except TiercelError:
            return None  # a property that only the task itself can render: its outputs cannot be known beforehand
        origin = context.origin
        folder = uris.cache(origin.namespace, origin.flow_id, origin.task_id).rpartition("/")[0]
        self._path = f"{folder}/outputs-{hashlib.sha256(rendered.encode()).hexdigest()}.json"
        try:
            attributes = await context.storage.attributes(context.tenant_id, self._path)
            if self._cache.ttl is not None and attributes.last_modified_time + self._cache.ttl < context.now():
                return None
            content = await context.storage.read(context.tenant_id, self._path)
        except NotFound:
            return None
        outputs: dict[str, Any] = msgspec.json.decode(content)
        context.log("DEBUG", "The outputs are those of an earlier run with the same properties.")
        return outputs

    async def keep(self, outputs: Mapping[str, Any] | None) -> None:
        """Keep the outputs of a run that has succeeded."""
        if self._path is not None:
            content = msgspec.json.encode(plain(dict(outputs or {})))
            await self._context.storage.put(self._context.tenant_id, self._path, content)
