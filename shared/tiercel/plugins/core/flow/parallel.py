"""Tasks at the same time, all or as their dependencies allow."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from tiercel.model.property import DYNAMIC, Node
from tiercel.model.state import State
from tiercel.plugins.base import Task
from tiercel.plugins.core.flow.branching import TASKS_NEEDED, BranchingTask, TaskList
from tiercel.plugins.registry import register


class OnChildFailure(StrEnum):
    """What becomes of tasks that still run when one has failed; the shorter names mean the same."""

    CONTINUE = "CONTINUE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    FAIL = "FAIL"
    CANCEL = "CANCEL"

    @property
    def state(self) -> State | None:
        """The state that such a task run ends in; None when it goes on."""
        match self:
            case OnChildFailure.CONTINUE:
                return None
            case OnChildFailure.FAILED | OnChildFailure.FAIL:
                return State.FAILED
            case _:
                return State.CANCELLED


@register("io.kestra.plugin.core.flow.Parallel", "io.kestra.core.tasks.flows.Parallel")
class Parallel(TaskList, frozen=True, kw_only=True):
    """
    Run tasks at the same time, at most `concurrent` of them (0: all).

    Example:
        id: both
        type: io.kestra.plugin.core.flow.Parallel
        tasks:
          - id: one
            type: io.kestra.plugin.core.log.Log
            message: one
          - id: two
            type: io.kestra.plugin.core.log.Log
            message: two
    """

    concurrent: Annotated[int | str, DYNAMIC, Meta(ge=0)] = 0
    """How many tasks at a time; 0 is all."""
    on_child_failure: OnChildFailure | None = None
    """What becomes of tasks that still run when one has failed: FAILED unless said, and CONTINUE in flows of 1.x."""


class DagTask(Node, frozen=True, kw_only=True):
    """One task of a Dag, and the ids of those that must have ended before it."""

    task: Task
    """The task."""
    depends_on: tuple[str, ...] = ()
    """Ids of tasks of this Dag that must have ended."""


@register("io.kestra.plugin.core.flow.Dag", "io.kestra.core.tasks.flows.Dag")
class Dag(BranchingTask, frozen=True, kw_only=True):
    """
    Run tasks as soon as those that they depend on have ended, at most `concurrent` at a time (0: all).

    Example:
        id: graph
        type: io.kestra.plugin.core.flow.Dag
        tasks:
          - task:
              id: first
              type: io.kestra.plugin.core.log.Log
              message: first
          - task:
              id: second
              type: io.kestra.plugin.core.log.Log
              message: second
            dependsOn: [first]
    """

    tasks: Annotated[tuple[DagTask, ...], TASKS_NEEDED]
    """The tasks, each with what it waits for."""
    concurrent: Annotated[int | str, DYNAMIC, Meta(ge=0)] = 0
    """How many tasks at a time; 0 is all."""
    on_child_failure: OnChildFailure | None = None
    """What becomes of tasks that still run when one has failed: FAILED unless said, and CONTINUE in flows of 1.x."""

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "tasks", tuple(entry.task for entry in self.tasks)
