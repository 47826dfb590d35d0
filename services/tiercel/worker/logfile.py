"""The log of a task with `logToFile`: its lines go into one file of internal storage instead of history."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TextIO

from tiercel.model.execution import LogEntry
from tiercel.worker.context import TaskContext
from tiercel.worker.surroundings import Surroundings


class LogFile:
    """Collects the lines of one attempt on disk."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._path: Path = surroundings.folder / f"{os.urandom(8).hex()}.log"
        self._file: TextIO | None = None
        self.surroundings = dataclasses.replace(surroundings, log_sink=self._write)

    def _write(self, entry: LogEntry) -> None:
        if self._file is None:
            self._file = self._path.open("w")
        self._file.write(f"{entry.timestamp.isoformat()} {entry.level} {entry.message}\n")

    async def keep(self, context: TaskContext) -> str | None:
        """Store what was logged; return its URI, None when nothing was."""
        if self._file is None:
            return None
        self._file.close()
        try:
            return await context.store(f"{context.attempt}.log", self._path, apart=True, final=True)
        finally:
            self._path.unlink(missing_ok=True)
