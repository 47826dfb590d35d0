"""What most flowables share: tasks of their own, tasks for the case of an error, and tasks at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from tiercel.model.property import NotEmpty
from tiercel.plugins.base import FlowableTask, Task

TASKS_NEEDED: Final = NotEmpty("The 'tasks' property cannot be empty")


class BranchingTask(FlowableTask, frozen=True, kw_only=True):
    """A flowable with branches for errors and for the end."""

    errors: tuple[Task, ...] = ()
    """Tasks that run when one of its tasks has failed for good."""
    finally_: tuple[Task, ...] = msgspec.field(default=(), name="finally")
    """Tasks that run at its end, whatever came of it."""

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        """Yield the branches that are the task's own purpose."""
        return iter(())

    def branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield from self.main_branches()
        yield "errors", self.errors
        yield "finally", self.finally_


class TaskList(BranchingTask, frozen=True, kw_only=True):
    """A flowable with one list of tasks."""

    tasks: Annotated[tuple[Task, ...], TASKS_NEEDED]
    """The tasks inside."""

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "tasks", self.tasks
