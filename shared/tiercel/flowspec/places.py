"""Where the tasks of a flow stand: each with its path in the text."""

from __future__ import annotations

from collections.abc import Iterator

from tiercel.flowspec.yaml import Path
from tiercel.model.flow import Flow
from tiercel.model.task import Task
from tiercel.plugins.base import FlowableTask
from tiercel.plugins.core.flow.parallel import Dag
from tiercel.plugins.core.flow.pause import Pause


def placed_tasks(flow: Flow) -> Iterator[tuple[Task, Path]]:
    """Yield every task of a flow with its path, parents before their children."""
    for name, tasks in (
        ("tasks", flow.tasks),
        ("errors", flow.errors),
        ("finally", flow.finally_),
        ("afterExecution", flow.after_execution),
    ):
        for index, task in enumerate(tasks):
            yield from below(task, (name, index))
    for number, listener in enumerate(flow.listeners):
        for index, task in enumerate(listener.tasks):
            yield from below(task, ("listeners", number, "tasks", index))


def below(task: Task, path: Path) -> Iterator[tuple[Task, Path]]:
    """Yield a task and all tasks in it with their paths."""
    yield task, path
    if not isinstance(task, FlowableTask):
        return
    for name, tasks in task.branches():
        for index, child in enumerate(tasks):
            yield from below(child, (*path, *_steps(task, name, index)))


def _steps(task: FlowableTask, branch: str, index: int) -> Path:
    if isinstance(task, Dag) and branch == "tasks":
        return (branch, index, "task")
    if isinstance(task, Pause) and branch == "onPause":
        return (branch,)
    first, _, rest = branch.partition(".")
    return (first, rest, index) if rest else (first, index)
