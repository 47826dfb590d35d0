"""Tasks chosen by a condition or a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from tiercel.model.property import DYNAMIC, NotEmpty
from tiercel.plugins.base import Task
from tiercel.plugins.core.flow.branching import BranchingTask
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.flow.If", "io.kestra.core.tasks.flows.If")
class If(BranchingTask, frozen=True, kw_only=True):
    """Run `then` when the condition is truthy, otherwise `else_`."""

    condition: Annotated[Any, DYNAMIC]
    then: Annotated[tuple[Task, ...], NotEmpty("The 'then' property cannot be empty")]
    else_: tuple[Task, ...] = msgspec.field(default=(), name="else")

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "then", self.then
        yield "else", self.else_


@register("io.kestra.plugin.core.flow.Switch", "io.kestra.core.tasks.flows.Switch")
class Switch(BranchingTask, frozen=True, kw_only=True):
    """Run the tasks of the case that equals the value, otherwise `defaults`."""

    value: Annotated[Any, DYNAMIC]
    cases: dict[str, tuple[Task, ...]] = msgspec.field(default_factory=dict)
    defaults: tuple[Task, ...] = ()

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        for name, tasks in self.cases.items():
            yield f"cases.{name}", tasks
        yield "defaults", self.defaults
