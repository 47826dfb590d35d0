"""Put: changes a value that is there, in part or as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from tiercel.errors import NotFound, TaskFailed
from tiercel.model.property import DYNAMIC, NOT_EMPTY, constant
from tiercel.model.task import Objection
from tiercel.model.variable import merged
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.kv.keyvalue import KeyTask, missing
from tiercel.plugins.registry import register

NO_CHANGE: Final = "Every entry of 'value' must be a map with a 'value', and a 'key' where it goes into a map."


@register("io.kestra.plugin.core.kv.Put")
class Put(KeyTask, frozen=True, kw_only=True):
    """Merge a map, or entries of `key` (a path with dots) and `value`, into a key's value."""

    key: Annotated[str, DYNAMIC, NOT_EMPTY]
    value: Annotated[Any, DYNAMIC]
    error_on_missing: Annotated[bool | str, DYNAMIC] = False

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        for index, entry in enumerate(self.value if isinstance(self.value, list) else ()):
            if not is_change(entry) and (not isinstance(entry, str) or constant(entry) is not None):
                yield Objection(("value", index), NO_CHANGE)

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
    """Tell whether an entry of a list of changes is one."""
    return isinstance(entry, dict) and "value" in entry


def changed(value: Any, change: Any) -> Any:
    """Return a value with a change in it: a map is merged, entries are set one by one, anything else replaces it."""
    if isinstance(change, dict):
        return merged(value if isinstance(value, dict) else {}, change)
    if not isinstance(change, list):
        return change
    for entry in change:
        if not is_change(entry):
            raise TaskFailed(NO_CHANGE)
        if not entry.get("key"):
            value = entry["value"]
            continue
        tree: Any = entry["value"]
        for part in reversed(str(entry["key"]).split(".")):
            tree = {part: tree}
        value = merged(value if isinstance(value, dict) else {}, tree)
    return value
