"""
The log and the measurements of one attempt: leveled, masked, cut and capped before anything leaves the task.

A task that prints without an end costs bounded memory: lines are cut, and beyond a cap they are dropped and one line
says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tiercel.model.execution import LogEntry, MetricEntry
from tiercel.runtime.clock import Clock
from tiercel.worker.core.masking import Mask
from tiercel.worker.settings import WorkerSettings

LEVELS: Final[dict[str, int]] = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "WARNING": 3, "ERROR": 4}

LogSink = Callable[[LogEntry], None]
MetricSink = Callable[[MetricEntry], None]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What every line and measurement of a task run tells of where it comes from."""

    tenant_id: str
    namespace: str
    flow_id: str
    execution_id: str
    task_id: str
    task_run_id: str
    attempt: int
    trigger_id: str | None = None
    """Set for the lines of a trigger, which belong to no execution."""


class RunLog:
    """Writes the lines of one attempt."""

    __slots__ = ("_clock", "_lines", "_minimum", "_origin", "_place", "_settings", "_sink", "_size", "is_full", "mask")

    def __init__(
        self, origin: Origin, sink: LogSink, clock: Clock, settings: WorkerSettings, minimum: str | None, mask: Mask
    ) -> None:
        self._origin = origin
        self._place: dict[str, Any] = _place(origin)
        self._sink = sink
        self._clock = clock
        self._settings = settings
        self._minimum = LEVELS.get(minimum.upper(), 0) if minimum else 0
        self._lines = 0
        self._size = 0
        self.is_full = False
        self.mask = mask

    def at_least(self, minimum: str) -> None:
        """Drop lines below this level from now on."""
        self._minimum = LEVELS.get(minimum.strip().upper(), 0)

    def write(self, level: str, message: str) -> None:
        """Log a line, unless its level is below the task's."""
        number = LEVELS.get(level)
        if number is None:
            level = level.upper()
            number = LEVELS.get(level)
            if number is None:
                level, number = "INFO", 2
        if level == "WARNING":
            level = "WARN"
        if number < self._minimum or self.is_full:
            return
        settings = self._settings
        if len(message) > settings.log_line_size_max:
            dropped = len(message) - settings.log_line_size_max
            message = f"{message[: settings.log_line_size_max]}… ({dropped} more characters are cut off)"
        self._lines += 1
        self._size += len(message)
        if self._lines > settings.log_lines_max or self._size > settings.log_size_max:
            self.is_full = True
            level = "WARN"
            message = (
                f"This attempt has logged {self._lines} lines with {self._size} characters, which is the most that is "
                "kept; what follows is dropped. Write large texts into a file and name it in 'outputFiles'."
            )
        origin = self._origin
        self._sink(
            LogEntry(
                tenant_id=origin.tenant_id,
                namespace=origin.namespace,
                flow_id=origin.flow_id,
                timestamp=self._clock.now(),
                level=level,
                message=self.mask.apply(message),
                **self._place,
            )
        )


def _place(origin: Origin) -> dict[str, Any]:
    if origin.trigger_id is not None:
        return {"trigger_id": origin.trigger_id}
    return {
        "execution_id": origin.execution_id,
        "task_id": origin.task_id,
        "task_run_id": origin.task_run_id,
        # Lines count attempts from 0, as Kestra's do: the API filters by it, and expressions show it.
        "attempt_number": max(0, origin.attempt - 1),
    }


class RunMetrics:
    """Adds up the measurements of one attempt: counters and timers add, a gauge keeps the last."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}

    def add(self, kind: str, name: str, value: float, tags: dict[str, str]) -> None:
        """Take one measurement."""
        key = (kind, name, tuple(sorted(tags.items())) if tags else ())
        if kind == "gauge":
            self._values[key] = value
        else:
            self._values[key] = self._values.get(key, 0.0) + value

    def send(self, origin: Origin, clock: Clock, sink: MetricSink) -> None:
        """Hand over what was measured."""
        if not self._values:
            return
        now = clock.now()
        for (kind, name, tags), value in self._values.items():
            sink(
                MetricEntry(
                    tenant_id=origin.tenant_id,
                    namespace=origin.namespace,
                    flow_id=origin.flow_id,
                    timestamp=now,
                    name=name,
                    type=kind,
                    value=value,
                    execution_id=origin.execution_id,
                    task_id=origin.task_id,
                    task_run_id=origin.task_run_id,
                    tags=dict(tags),
                )
            )

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the measurements as plain data."""
        return [
            {"type": kind, "name": name, "value": value, "tags": dict(tags)}
            for (kind, name, tags), value in self._values.items()
        ]
