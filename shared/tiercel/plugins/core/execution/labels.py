"""Tasks that the executor applies to the execution itself: labels, variables, and leaving early."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from tiercel.model.property import DYNAMIC
from tiercel.model.task import Objection
from tiercel.plugins.base import ExecutionTask
from tiercel.plugins.core.labels import labels_problem, system_labels
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.execution.Labels", "io.kestra.core.tasks.executions.Labels")
class Labels(ExecutionTask, frozen=True, kw_only=True):
    """Add labels to the execution; a label of the same key is replaced."""

    labels: Annotated[Any, DYNAMIC]
    """Labels: a map, or a list of `key` and `value`."""

    def objections(self) -> Iterator[Objection]:
        problem = labels_problem(self.labels)
        if problem is not None:
            yield Objection(("labels",), problem, refuses=False)
        for name in system_labels(self.labels):
            message = f"System labels can only be set by Kestra itself, offending label: {name}."
            yield Objection(("labels",), message, refuses=False)


@register("io.kestra.plugin.core.execution.SetVariables")
class SetVariables(ExecutionTask, frozen=True, kw_only=True):
    """Set variables of the execution; one that is there already fails the task unless `overwrite`."""

    variables: Annotated[dict[str, Any] | str, DYNAMIC]
    overwrite: Annotated[bool | str, DYNAMIC] = True


@register("io.kestra.plugin.core.execution.UnsetVariables")
class UnsetVariables(ExecutionTask, frozen=True, kw_only=True):
    """Remove variables of the execution; one that is not there fails the task unless `ignore_missing`."""

    variables: Annotated[list[str] | str, DYNAMIC]
    ignore_missing: Annotated[bool | str, DYNAMIC] = False


class ExitState(StrEnum):
    """States that Exit may end an execution in; both spellings of the last are read."""

    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    KILLED = "KILLED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    CANCELLED = "CANCELLED"


@register("io.kestra.plugin.core.execution.Exit")
class Exit(ExecutionTask, frozen=True, kw_only=True):
    """End the execution now, in this state."""

    state: Annotated[str | ExitState, DYNAMIC] = ExitState.SUCCESS
    """The state that the execution ends in."""
