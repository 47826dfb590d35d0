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
    """
    Run `then` when the condition is truthy, otherwise `else_`.

    Example:
        id: large
        type: io.kestra.plugin.core.flow.If
        condition: "{{ inputs.amount > 1000 }}"
        then:
          - id: ask
            type: io.kestra.plugin.core.flow.Pause
        else:
          - id: note
            type: io.kestra.plugin.core.log.Log
            message: A small one
    """

    condition: Annotated[Any, DYNAMIC]
    """What decides: anything but nothing, an empty text, `false` and `0` is true."""
    then: Annotated[tuple[Task, ...], NotEmpty("The 'then' property cannot be empty")]
    """Tasks for true."""
    else_: tuple[Task, ...] = msgspec.field(default=(), name="else")
    """Tasks for untrue."""

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "then", self.then
        yield "else", self.else_


@register("io.kestra.plugin.core.flow.Switch", "io.kestra.core.tasks.flows.Switch")
class Switch(BranchingTask, frozen=True, kw_only=True):
    """
    Run the tasks of the case that equals the value, otherwise `defaults`.

    Example:
        id: by_country
        type: io.kestra.plugin.core.flow.Switch
        value: "{{ inputs.country }}"
        cases:
          FR:
            - id: bonjour
              type: io.kestra.plugin.core.log.Log
              message: Bonjour
        defaults:
          - id: hello
            type: io.kestra.plugin.core.log.Log
            message: Hello
    """

    value: Annotated[Any, DYNAMIC]
    """What decides."""
    cases: dict[str, tuple[Task, ...]] = msgspec.field(default_factory=dict)
    """Tasks by value."""
    defaults: Annotated[tuple[Task, ...], NotEmpty("The 'defaults' property cannot be empty.", newer=True)] = ()
    """Tasks for any other value."""

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        for name, tasks in self.cases.items():
            yield f"cases.{name}", tasks
        yield "defaults", self.defaults
