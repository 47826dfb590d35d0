"""Tasks at the same time, all or as their dependencies allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from tiercel.model.property import Node
from tiercel.plugins.base import Task
from tiercel.plugins.core.flow.branching import TASKS_NEEDED, BranchingTask, TaskList
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.flow.Parallel", "io.kestra.core.tasks.flows.Parallel")
class Parallel(TaskList, frozen=True, kw_only=True):
    """Run tasks at the same time, at most `concurrent` of them (0: all)."""

    concurrent: Annotated[int, Meta(ge=0)] = 0


class DagTask(Node, frozen=True, kw_only=True):
    """One task of a Dag, and the ids of those that must have ended before it."""

    task: Task
    depends_on: tuple[str, ...] = ()


@register("io.kestra.plugin.core.flow.Dag", "io.kestra.core.tasks.flows.Dag")
class Dag(BranchingTask, frozen=True, kw_only=True):
    """Run tasks as soon as those that they depend on have ended, at most `concurrent` at a time (0: all)."""

    tasks: Annotated[tuple[DagTask, ...], TASKS_NEEDED]
    concurrent: Annotated[int, Meta(ge=0)] = 0

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "tasks", tuple(entry.task for entry in self.tasks)
