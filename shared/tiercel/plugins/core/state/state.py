"""
Set, Get and Delete of a state: a map that is kept among the namespace's key-value pairs.

Newer flows use the key-value tasks for this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final

from tiercel.errors import NotFound
from tiercel.model import ids
from tiercel.model.property import DYNAMIC, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register
from tiercel.storage import uris
from tiercel.storage.hashing import murmur3
from tiercel.storage.keyvalues import key_problem

STATE: Final = "tasks-states"


class StateTask(RunnableTask, frozen=True, kw_only=True):
    """A task about one state."""

    REMOVED: ClassVar[bool] = True
    DEPRECATED: ClassVar[bool] = True

    name: Annotated[str, DYNAMIC] = "default"
    namespace: Annotated[bool | str, DYNAMIC] = False
    taskrun_value: Annotated[bool | str, DYNAMIC] = True

    def objections(self) -> Iterator[Objection]:
        name = constant(self.name)
        problem = key_problem(state_key(STATE, name, None, None)) if name else None
        if problem is not None:
            yield Objection(("name",), f"'{name}' can be no part of a key: {problem}", refuses=False)

    async def key_of(self, context: RunContext) -> str:
        """Return the key that holds the state: of the flow or the namespace, and of the iteration."""
        name = await context.render(self.name)
        value = (context.variables.get("taskrun") or {}).get("value")
        if value is not None and not await context.render(self.taskrun_value, bool):
            value = None
        flow = None if await context.render(self.namespace, bool) else context.flow_id
        return state_key(STATE, name, flow, value)

    async def load(self, context: RunContext, key: str) -> dict[str, Any]:
        """Return the state; raise NotFound when there is none."""
        try:
            value = await context.key_values.get(context.namespace, key)
        except NotFound as error:
            raise NotFound(f"State {key} not found") from error
        return value if isinstance(value, dict) else {}


def state_key(state: str, name: str | None, flow_id: str | None, value: Any) -> str:
    """Return the key of a state (reference 7.4)."""
    flow = uris.slug(flow_id) if flow_id else None
    return ids.joined(flow, "states", state, name or None, None if value is None else murmur3(str(value)))


@register("io.kestra.plugin.core.state.Set", "io.kestra.core.tasks.states.Set")
class Set(StateTask, frozen=True, kw_only=True):
    """Merge values into the state."""

    data: Annotated[dict[str, Any] | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the merged state."""
        key = await self.key_of(context)
        try:
            state = await self.load(context, key)
        except NotFound:
            state = {}
        state = {**state, **(await context.render(self.data, dict[str, Any]) or {})}
        await context.key_values.put(context.namespace, key, state)
        return {"count": len(state), "key": key}


@register("io.kestra.plugin.core.state.Get", "io.kestra.core.tasks.states.Get")
class Get(StateTask, frozen=True, kw_only=True):
    """Return the state."""

    error_on_missing: Annotated[bool | str, DYNAMIC] = False

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Read the state; an empty one when there is none."""
        try:
            state = await self.load(context, await self.key_of(context))
        except NotFound:
            if await context.render(self.error_on_missing, bool):
                raise
            state = {}
        return {"count": len(state), "data": state}


@register("io.kestra.plugin.core.state.Delete", "io.kestra.core.tasks.states.Delete")
class Delete(StateTask, frozen=True, kw_only=True):
    """Forget the state."""

    error_on_missing: Annotated[bool | str, DYNAMIC] = False

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Delete the state and tell whether there was one."""
        key = await self.key_of(context)
        deleted = await context.key_values.delete(context.namespace, key)
        if not deleted and await context.render(self.error_on_missing, bool):
            raise NotFound(f"State {key} not found")
        return {"deleted": deleted}
