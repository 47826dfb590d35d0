"""
The last ERROR lines of recent executions, for the function errorLogs().

A worker reads no repository, so it knows the lines of what ran here: all of them with one worker, some with several.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Final

from tiercel.model.execution import LogEntry

EXECUTIONS_MAX: Final = 1000
"""Executions whose lines are remembered: far more than run here at a time, a few megabytes at most."""
LINES_MAX: Final = 25
"""As many as Kestra's function returns."""


class ErrorLog:
    """Remembers error lines by execution, the most recent executions only."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[LogEntry]] = OrderedDict()

    def note(self, entry: LogEntry) -> None:
        """Keep a line if it is an error of an execution."""
        if entry.level != "ERROR" or entry.execution_id is None:
            return
        lines = self._lines.get(entry.execution_id)
        if lines is None:
            lines = self._lines[entry.execution_id] = deque(maxlen=LINES_MAX)
            if len(self._lines) > EXECUTIONS_MAX:
                self._lines.popitem(last=False)
        lines.append(entry)

    def of(self, execution_id: str) -> list[dict[str, Any]]:
        """Return the lines as expressions see them, in order."""
        return [
            {
                "timestamp": entry.timestamp,
                "level": entry.level,
                "message": entry.message,
                "taskId": entry.task_id,
                "taskRunId": entry.task_run_id,
                "attemptNumber": entry.attempt_number,
            }
            for entry in self._lines.get(execution_id, ())
        ]
