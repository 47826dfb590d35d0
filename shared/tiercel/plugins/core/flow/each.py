"""Tasks for each of many values: the loops of the 1.x dialect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tiercel.model.property import DYNAMIC, constant
from tiercel.model.task import Objection
from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.flow.ForEach")
class ForEach(TaskList, frozen=True, kw_only=True):
    """Run tasks for each value; `concurrency_limit` values at a time (1: one after another, 0: all)."""

    REMOVED: ClassVar[bool] = True

    values: Annotated[Any, DYNAMIC]
    """A list, or an expression that gives one."""
    concurrency_limit: Annotated[int, Meta(ge=0)] = 1
    """How many values at a time; 0 is all."""

    def objections(self) -> Iterator[Objection]:
        yield from values_objections("values", self.values)


def values_objections(name: str, values: Any) -> Iterator[Objection]:
    """Yield a warning about a constant that a loop cannot take its values from."""
    text, found = constant(values), values
    if text is not None:
        try:
            found = msgspec.json.decode(text.encode())
        except (ValueError, RecursionError):
            found = None
    elif isinstance(values, str):
        return
    if not isinstance(found, list | dict):
        shown = f"'{text}'" if text is not None else str(values)
        yield Objection((name,), f"must be a list, or one written as JSON, but is {shown}", refuses=False)
    elif isinstance(found, list) and None in found:
        yield Objection((name, found.index(None)), "must not be null", refuses=False)


@register("io.kestra.plugin.core.flow.EachSequential", "io.kestra.core.tasks.flows.EachSequential")
class EachSequential(TaskList, frozen=True, kw_only=True):
    """Run tasks for each value, one value after another."""

    REMOVED: ClassVar[bool] = True
    DEPRECATED: ClassVar[bool] = True

    value: Annotated[Any, DYNAMIC]

    def objections(self) -> Iterator[Objection]:
        yield from values_objections("value", self.value)


@register("io.kestra.plugin.core.flow.EachParallel", "io.kestra.core.tasks.flows.EachParallel")
class EachParallel(TaskList, frozen=True, kw_only=True):
    """Run every task of every value at the same time, at most `concurrent` (0: all)."""

    REMOVED: ClassVar[bool] = True
    DEPRECATED: ClassVar[bool] = True

    value: Annotated[Any, DYNAMIC]
    concurrent: Annotated[int, Meta(ge=0)] = 0

    def objections(self) -> Iterator[Objection]:
        yield from values_objections("value", self.value)
