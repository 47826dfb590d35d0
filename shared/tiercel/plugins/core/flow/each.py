"""Tasks for each of many values: the loops of the 1.x dialect."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from tiercel.model.property import DYNAMIC
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


@register("io.kestra.plugin.core.flow.EachSequential", "io.kestra.core.tasks.flows.EachSequential")
class EachSequential(TaskList, frozen=True, kw_only=True):
    """Run tasks for each value, one value after another."""

    REMOVED: ClassVar[bool] = True
    DEPRECATED: ClassVar[bool] = True

    value: Annotated[Any, DYNAMIC]


@register("io.kestra.plugin.core.flow.EachParallel", "io.kestra.core.tasks.flows.EachParallel")
class EachParallel(TaskList, frozen=True, kw_only=True):
    """Run every task of every value at the same time, at most `concurrent` (0: all)."""

    REMOVED: ClassVar[bool] = True
    DEPRECATED: ClassVar[bool] = True

    value: Annotated[Any, DYNAMIC]
    concurrent: Annotated[int, Meta(ge=0)] = 0
