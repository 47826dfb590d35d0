"""
Logs of a process, one line per event on standard error: text for people, JSON for machines.

A record's `extra` fields are kept. `action` says in one stable word what happened; dashboards and tests rely on it.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any, Final

import msgspec

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else came from `extra`."""
QUIET: Final = (
    "httpx",
    "httpcore",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "psycopg.pool",
    "psycopg",
    "litestar",
)
"""Libraries that narrate: only their warnings are for the operator."""


def configure(*, form: str = "text", level: str = "INFO", service: str = "", stream: IO[str] | None = None) -> None:
    """Send all logs of this process to one stream, in one format."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service) if form == "json" else TextFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class TextFormatter(logging.Formatter):
    """`2026-01-01 10:00:00.123 INFO executor  message  execution_id=…`"""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, followed by its traceback if it has one."""
        instant = datetime.fromtimestamp(record.created, UTC)
        head = f"{instant:%Y-%m-%d %H:%M:%S}.{instant.microsecond // 1000:03d} {record.levelname:<7} {self._service:<9}"
        fields = " ".join(f"{name}={value}" for name, value in _extra(record).items() if name != "action")
        line = f"{head} {record.getMessage()}" + (f"  {fields}" if fields else "")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; values that JSON does not know become text."""
        content: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            content["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(content, enc_hook=str).decode()


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and not name.startswith("_")}
