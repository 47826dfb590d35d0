"""Waiting for a person, or for a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from tiercel.model.input import Input
from tiercel.model.property import DEPRECATED, DYNAMIC, REMOVED, Aliases
from tiercel.plugins.base import Task
from tiercel.plugins.core.flow.branching import BranchingTask
from tiercel.plugins.registry import register


class PauseBehavior(StrEnum):
    """What becomes of the task when its pause is over."""

    RESUME = "RESUME"
    WARN = "WARN"
    CANCEL = "CANCEL"
    FAIL = "FAIL"


@register("io.kestra.plugin.core.flow.Pause", "io.kestra.core.tasks.flows.Pause")
class Pause(BranchingTask, frozen=True, kw_only=True):
    """
    Pause the execution until it is resumed, or `pause_duration` is over, which ends it by `behavior`.

    `timeout` alone ends it FAILED. `on_resume` are the inputs that resuming asks for, `on_pause` runs when it pauses.
    """

    pause_duration: Annotated[str | timedelta | None, DYNAMIC, Aliases("delay", removed=True)] = None
    """How long it pauses; without it until somebody resumes it."""
    behavior: Annotated[str | PauseBehavior, DYNAMIC] = PauseBehavior.RESUME
    """What becomes of it when the time is over."""
    on_resume: tuple[Input, ...] = ()
    """Inputs that resuming asks for."""
    on_pause: Task | None = None
    """A task that runs when it pauses."""
    tasks: Annotated[tuple[Task, ...], DEPRECATED, REMOVED] = ()

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "tasks", self.tasks
        if self.on_pause is not None:
            yield "onPause", (self.on_pause,)
