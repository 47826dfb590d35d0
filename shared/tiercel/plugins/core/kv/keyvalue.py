"""Set, Get, GetKeys and Delete: one key of a namespace, or the names of its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from tiercel.errors import ExpressionError, NotFound, TaskFailed
from tiercel.expression.dates import reading
from tiercel.expression.values import Instant
from tiercel.model.duration import parse_duration
from tiercel.model.property import DYNAMIC, NOT_EMPTY, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.namespaces import check_exists, name_objections
from tiercel.plugins.registry import register
from tiercel.storage.keyvalues import ancestry, key_problem

OWN_NAMESPACE: Final = "{{ flow.namespace }}"
_NUMBER: Final = re.compile(r"[-+]?\d+")


class KeyValueType(StrEnum):
    """What a text is to be stored as."""

    STRING = "STRING"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    DATETIME = "DATETIME"
    DATE = "DATE"
    DURATION = "DURATION"
    JSON = "JSON"


class KeyTask(RunnableTask, frozen=True, kw_only=True):
    """A task about a namespace's key-value pairs."""

    namespace: Annotated[str, DYNAMIC] = OWN_NAMESPACE
    """The namespace of the key."""

    def objections(self) -> Iterator[Objection]:
        yield from name_objections(self.namespace)
        key = constant(getattr(self, "key", None))
        problem = key_problem(key) if key else None
        if problem is not None:
            yield Objection(("key",), f"'{key}' is no key: {problem}")

    async def namespace_of(self, context: RunContext) -> str:
        """Return the namespace that is meant."""
        found: str = await context.render(self.namespace)
        if not found:
            raise TaskFailed("The 'namespace' is empty; name one, or leave the property out for the flow's own.")
        await check_exists(context, found)
        return found


@register("io.kestra.plugin.core.kv.Set")
class Set(KeyTask, frozen=True, kw_only=True):
    """
    Set a key to a value, which keeps its type.

    Example:
        id: remember
        type: io.kestra.plugin.core.kv.Set
        key: last_run
        value: "{{ execution.startDate }}"
        ttl: P30D
    """

    key: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The key."""
    value: Annotated[Any, DYNAMIC]
    """The value."""
    kv_description: Annotated[str | None, DYNAMIC] = None
    """What the key is for."""
    overwrite: Annotated[bool | str, DYNAMIC] = True
    """Whether a value that is there is replaced; otherwise the task fails."""
    ttl: Annotated[timedelta | str | None, DYNAMIC] = None
    """How long the value is kept."""
    kv_type: Annotated[str | KeyValueType | None, DYNAMIC] = None
    """The kind that a text is read as."""

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        text, name = constant(self.value), constant(self.kv_type)
        kind = KeyValueType.__members__.get(name.strip().upper()) if name is not None else None
        if text is not None and kind is not None:
            try:
                typed(text, kind)
            except TaskFailed as error:
                yield Objection(("value",), f"It cannot be stored as {kind}: {error}")

    async def run(self, context: RunContext) -> None:
        """Store the value."""
        value = await context.render(self.value, Any)
        kind: KeyValueType | None = await context.render(self.kv_type, KeyValueType)
        if kind is not None and isinstance(value, str):
            value = typed(value, kind)
        overwrite = await context.render(self.overwrite, bool)
        await context.key_values.put(
            await self.namespace_of(context),
            await context.render(self.key),
            value,
            overwrite=overwrite is not False,
            ttl=await context.render(self.ttl, timedelta),
            description=await context.render(self.kv_description),
        )


def typed(text: str, kind: KeyValueType) -> Any:
    """Return what a text means as a value of a type; raise TaskFailed when it cannot be one."""
    match kind:
        case KeyValueType.STRING:
            return text
        case KeyValueType.NUMBER:
            return int(text) if _NUMBER.fullmatch(text.strip()) else _decoded(text, float, "a number")
        case KeyValueType.BOOLEAN:
            return text.strip().lower() == "true"
        case KeyValueType.DATETIME:
            return _instant(_moment(text, "datetime; write it as '2026-01-31T10:00:00Z'"))
        case KeyValueType.DATE:
            return _moment(text, "date; write it as '2026-01-31'").date()
        case KeyValueType.DURATION:
            try:
                return parse_duration(text)
            except ValueError as error:
                raise TaskFailed(str(error)) from error
        case KeyValueType.JSON:
            return _decoded(text, Any, "JSON")


def _moment(text: str, noun: str) -> datetime:
    try:
        found = reading.iso(text.strip())
    except (ValueError, ExpressionError) as error:
        raise TaskFailed(f"The value '{text}' is no {noun}.") from error
    if not isinstance(found, datetime):
        return datetime(found.year, found.month, found.day, tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _decoded(text: str, kind: Any, noun: str) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise TaskFailed(f"The value '{text}' is not {noun}: {error}.") from error


def _instant(moment: datetime) -> Instant:
    return Instant.fromtimestamp(moment.timestamp(), moment.tzinfo)


@register("io.kestra.plugin.core.kv.Get")
class Get(KeyTask, frozen=True, kw_only=True):
    """Return a key's value; that of the nearest namespace above when its own has none."""

    key: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The key."""
    error_on_missing: Annotated[bool | str, DYNAMIC] = False
    """Whether a missing key fails the task."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Read the value."""
        key, namespace = await context.render(self.key), await self.namespace_of(context)
        for name in ancestry(namespace) if self.namespace == OWN_NAMESPACE else (namespace,):
            try:
                return {"value": await context.key_values.get(name, key)}
            except NotFound:
                continue
        if await context.render(self.error_on_missing, bool):
            raise missing(key, namespace)
        return {"value": None}


def missing(key: str, namespace: str) -> NotFound:
    """Build the error of a key that has no value where one is needed."""
    return NotFound(f"No value found for key '{key}' in namespace '{namespace}' and `errorOnMissing` is set to true")


@register("io.kestra.plugin.core.kv.GetKeys")
class GetKeys(KeyTask, frozen=True, kw_only=True):
    """Return the keys that begin with a prefix."""

    prefix: Annotated[str | None, DYNAMIC] = None
    """How the keys begin."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """List the keys."""
        prefix = await context.render(self.prefix) or ""
        return {"keys": await context.key_values.keys(await self.namespace_of(context), prefix)}


@register("io.kestra.plugin.core.kv.Delete")
class Delete(KeyTask, frozen=True, kw_only=True):
    """Delete a key."""

    key: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The key."""
    error_on_missing: Annotated[bool | str, DYNAMIC] = False
    """Whether a missing key fails the task."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Delete the key and tell whether it was there."""
        key, namespace = await context.render(self.key), await self.namespace_of(context)
        deleted = await context.key_values.delete(namespace, key)
        if not deleted and await context.render(self.error_on_missing, bool):
            raise missing(key, namespace)
        return {"deleted": deleted}
