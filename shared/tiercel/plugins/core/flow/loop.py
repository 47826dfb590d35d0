"""Loops: over values in isolated executions (2.0), and until a condition holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from tiercel.model.input import FlowOutput
from tiercel.model.property import DYNAMIC, Node
from tiercel.model.task import Objection
from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.core.flow.each import values_objections
from tiercel.plugins.registry import register
from tiercel.storage import uris


class FetchType(StrEnum):
    """Where the outputs of the iterations go: into the task's outputs, or into a file."""

    AUTO = "AUTO"
    FETCH = "FETCH"
    STORE = "STORE"
    NONE = "NONE"


@register("io.kestra.plugin.core.flow.Loop")
class Loop(TaskList, frozen=True, kw_only=True):
    """
    Run tasks for each value, each iteration an execution of its own; `concurrency_limit` at a time (0: all).

    Example:
        id: each_file
        type: io.kestra.plugin.core.flow.Loop
        values: "{{ outputs.list.uris }}"
        concurrencyLimit: 4
        tasks:
          - id: show
            type: io.kestra.plugin.core.log.Log
            message: "{{ item.index }}: {{ item.value }}"
    """

    values: Annotated[Any, DYNAMIC]
    """A list, a map, or the URI of a file with one value per line."""
    concurrency_limit: Annotated[int, Meta(ge=0)] = 1
    """How many iterations at a time; 0 is all."""
    transmit_failed: bool = True
    """Whether a failed iteration fails the loop."""
    outputs: tuple[FlowOutput, ...] = ()
    """What each iteration gives."""
    fetch_type: FetchType = FetchType.AUTO
    """Where the outputs of the iterations go."""
    break_when: Annotated[bool | str | None, DYNAMIC] = None
    """Asked of an ended iteration (`item`, `iteration.executionId`, `.state`, `.outputs`); true: no other begins."""

    def objections(self) -> Iterator[Objection]:
        if not (isinstance(self.values, str) and uris.is_uri(self.values.strip())):
            yield from values_objections("values", self.values)


class CheckFrequency(Node, frozen=True, kw_only=True):
    """How often a LoopUntil asks again, and when it gives up; absent means without bound."""

    max_iterations: Annotated[int | str | None, DYNAMIC] = None
    max_duration: Annotated[str | timedelta | None, DYNAMIC] = None
    interval: Annotated[str | timedelta | None, DYNAMIC] = None


@register("io.kestra.plugin.core.flow.LoopUntil", "io.kestra.plugin.core.flow.WaitFor")
class LoopUntil(TaskList, frozen=True, kw_only=True):
    """Run tasks again and again until the condition holds."""

    condition: Annotated[Any, DYNAMIC]
    """Asked after each round; true ends the loop."""
    fail_on_max_reached: Annotated[bool | str, DYNAMIC] = False
    """Whether giving up is a failure."""
    check_frequency: CheckFrequency = CheckFrequency()
    """How often, and for how long."""
