"""Put: changes a value that is there, in part or as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Final

from tiercel.errors import NotFound, TaskFailed
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.model.variable import merged
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.kv.keyvalue import KeyTask, missing
from tiercel.plugins.registry import register

NO_MAP: Final = "Cannot apply keyed `value` updates to a non-JSON existing KV value."
MIXED: Final = "`value` entries without `key` can only be used as a single replacement item."
NO_KEY: Final = "Each keyed `value` entry must have a non-empty string `key`."
_ENTRY: Final = frozenset({"key", "value"})


@register("io.kestra.plugin.core.kv.Put")
class Put(KeyTask, frozen=True, kw_only=True):
    """Merge a map, or entries of `key` (a path with dots) and `value`, into a key's value."""

    key: Annotated[str, DYNAMIC, NOT_EMPTY]
    value: Annotated[Any, DYNAMIC]
    error_on_missing: Annotated[bool | str, DYNAMIC] = False

    async def run(self, context: RunContext) -> None:
        """Store the changed value; what the key is for stays as it is."""
        key, namespace = await context.render(self.key), await self.namespace_of(context)
        change = await context.render(self.value, Any)
        try:
            value = await context.key_values.get(namespace, key)
        except NotFound as error:
            if await context.render(self.error_on_missing, bool):
                raise missing(key, namespace) from error
            value = None
        entry = await context.key_values.entry(namespace, key)
        await context.key_values.put(
            namespace,
            key,
            changed(value, change),
            description=entry.description if entry is not None else None,
            expires=entry.expiration_date if entry is not None else None,
        )


def is_change(entry: Any) -> bool:
    """Tell whether an entry of a list is a change, and not a part of a list that is a value itself."""
    return isinstance(entry, dict) and "value" in entry and entry.keys() <= _ENTRY


def changed(value: Any, change: Any) -> Any:
    """Return a value with a change in it: maps are merged, entries go where their keys say, all else replaces it."""
    if isinstance(change, list) and change and all(map(is_change, change)):
        return _with_entries(value, change)
    return merged(value, change) if isinstance(change, dict) and isinstance(value, dict) else change


def _with_entries(value: Any, entries: list[dict[str, Any]]) -> Any:
    if any(entry.get("key") is None for entry in entries):
        if len(entries) > 1:
            raise TaskFailed(MIXED)
        return entries[0]["value"]
    if not all(isinstance(entry["key"], str) and entry["key"].strip() for entry in entries):
        raise TaskFailed(NO_KEY)
    if value is not None and not isinstance(value, dict):
        raise TaskFailed(NO_MAP)
    for entry in entries:
        tree: Any = entry["value"]
        for part in reversed(entry["key"].split(".")):
            tree = {part: tree}
        value = merged(value or {}, tree)
    return value
