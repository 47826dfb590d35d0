"""Other flows as tasks: one execution, or one for each batch of items; and templates of the 1.x dialect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from tiercel.model.property import DEPRECATED, DYNAMIC, NOT_EMPTY, REMOVED, Node, Written, constant
from tiercel.model.size import size_problem
from tiercel.model.task import Objection
from tiercel.plugins.base import ExecutableTask, Task
from tiercel.plugins.core.flow.branching import BranchingTask
from tiercel.plugins.core.labels import labels_problem
from tiercel.plugins.core.namespaces import name_objections
from tiercel.plugins.core.storage.split import OPEN_MAX, pattern_problem
from tiercel.plugins.registry import register
from tiercel.storage import uris


class RestartBehavior(StrEnum):
    """What a restart of the parent does with the child that failed."""

    RETRY_FAILED = "RETRY_FAILED"
    NEW_EXECUTION = "NEW_EXECUTION"


@register("io.kestra.plugin.core.flow.Subflow", "io.kestra.core.tasks.flows.Subflow", "io.kestra.core.tasks.flows.Flow")
class Subflow(ExecutableTask, frozen=True, kw_only=True):
    """
    Run another flow, and wait for it unless `wait` is false; its failure fails the task when transmitted.

    Example:
        id: child
        type: io.kestra.plugin.core.flow.Subflow
        namespace: company.team
        flowId: hello
        inputs:
          name: you
    """

    namespace: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The namespace of the flow to run."""
    flow_id: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The flow to run."""
    revision: Annotated[int, Meta(ge=1)] | None = None
    """The revision to run; without it the newest."""
    inputs: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    """The inputs of its execution."""
    labels: Annotated[Any, DYNAMIC] = None
    """Labels of its execution."""
    wait: bool = True
    """Whether to wait for its end."""
    transmit_failed: bool = True
    """Whether its failure is one of this task."""
    inherit_labels: Annotated[bool | str, DYNAMIC] = False
    """Whether its execution gets the labels of this one."""
    outputs: Annotated[dict[str, Any] | None, DYNAMIC, DEPRECATED, REMOVED] = None
    schedule_date: Annotated[str | None, DYNAMIC] = None
    """When it is to start."""
    restart_behavior: RestartBehavior = RestartBehavior.RETRY_FAILED

    def objections(self) -> Iterator[Objection]:
        yield from call_objections(self)


class Batch(Node, frozen=True, kw_only=True):
    """How a file is split: by size, into a number of parts, or every so many rows."""

    rows: Annotated[int | str | None, DYNAMIC, Meta(ge=1)] = None
    bytes: Annotated[str | None, DYNAMIC, Written(size_problem)] = None
    partitions: Annotated[int | str | None, DYNAMIC, Meta(ge=1, le=OPEN_MAX)] = None
    separator: Annotated[str, DYNAMIC] = "\n"
    regex_pattern: Annotated[str | None, DYNAMIC] = None


@register("io.kestra.plugin.core.flow.ForEachItem", "io.kestra.core.tasks.flows.ForEachItem")
class ForEachItem(BranchingTask, frozen=True, kw_only=True):
    """
    Split a file into batches and run a flow for each of them.

    It stands for three task runs that no author writes: `<id>_split`, `<id>_items` and `<id>_merge`.
    """

    REMOVED: ClassVar[bool] = True

    items: Annotated[str, DYNAMIC, NOT_EMPTY]
    batch: Batch = Batch()
    namespace: Annotated[str, DYNAMIC, NOT_EMPTY]
    flow_id: Annotated[str, DYNAMIC, NOT_EMPTY]
    revision: Annotated[int, Meta(ge=1)] | None = None
    inputs: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    labels: Annotated[Any, DYNAMIC] = None
    wait: bool = True
    transmit_failed: bool = True
    inherit_labels: Annotated[bool | str, DYNAMIC] = False
    schedule_date: Annotated[str | None, DYNAMIC] = None
    restart_behavior: RestartBehavior = RestartBehavior.RETRY_FAILED

    def objections(self) -> Iterator[Objection]:
        yield from call_objections(self)
        text = constant(self.items)
        if text and not uris.is_uri(text):
            yield Objection(
                ("items",), f"must be the URI of a file in internal storage, but is '{text}'", refuses=False
            )
        pattern = constant(self.batch.regex_pattern)
        problem = pattern_problem(pattern) if pattern is not None else None
        if problem is not None:
            yield Objection(("batch", "regexPattern"), problem, refuses=False)


def call_objections(task: Subflow | ForEachItem) -> Iterator[Objection]:
    """Yield what is wrong with the constants of a task that runs another flow."""
    yield from name_objections(task.namespace, task.flow_id)
    problem = labels_problem(task.labels)
    if problem is not None:
        yield Objection(("labels",), problem)
    date = constant(task.schedule_date)
    if date:
        try:
            datetime.fromisoformat(date)
        except ValueError:
            yield Objection(("scheduleDate",), f"must be an ISO-8601 date, but is '{date}'", refuses=False)


@register("io.kestra.plugin.core.flow.Template", "io.kestra.core.tasks.flows.Template")
class Template(BranchingTask, frozen=True, kw_only=True):
    """Run the tasks of a template in its place."""

    REMOVED: ClassVar[bool] = True
    DEPRECATED: ClassVar[bool] = True

    namespace: Annotated[str, NOT_EMPTY, Meta(pattern=r"[a-z0-9][a-z0-9._-]*")]
    template_id: Annotated[str, NOT_EMPTY, Meta(pattern=r"[a-zA-Z0-9][a-zA-Z0-9._-]*")]
    tenant_id: str | None = None
    args: Annotated[dict[str, Any] | None, DYNAMIC] = None
    tasks: tuple[Task, ...] = ()
    """The tasks of the template, when it has been put into its place."""

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "tasks", self.tasks
