"""
History: what the indexer writes to the repository.

Executions and task runs carry a version (the last one wins); batches of logs and metrics carry (producer, sequence), so
that a repeated one is known.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tiercel.model.execution import Execution, LogEntry, MetricEntry, OutputRef, TaskRun
from tiercel.model.tenant import MAIN_TENANT


class ExecutionChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """An execution as it is after a batch, with the task runs and outputs that the batch changed."""

    execution: Execution
    runs: tuple[TaskRun, ...] = ()
    outputs: dict[int, OutputRef] = {}
    removed: tuple[int, ...] = ()
    """Places (`seq`) of task runs that no longer belong to it (restart)."""


class ExecutionDeleted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The execution and everything of it is to be forgotten."""

    execution_id: str
    logs: bool = True
    metrics: bool = True


class LogBatch(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Log lines in order."""

    producer: str
    sequence: int
    entries: tuple[LogEntry, ...]


class MetricBatch(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Measurements in order."""

    producer: str
    sequence: int
    entries: tuple[MetricEntry, ...]


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Who changed what: `action` is a kind of request, `subject` the address that it went to."""

    id: str
    at: datetime
    tenant_id: str = MAIN_TENANT
    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = {}


History = ExecutionChanged | ExecutionDeleted | LogBatch | MetricBatch | AuditRecord


def is_awaited(message: object) -> bool:
    """
    Tell whether somebody may be waiting for this message: it tells of an execution's end.

    Who follows an execution is told of what was before a moment later: reading it in the middle of each step would
    delay the next one.
    """
    match message:
        case ExecutionChanged(execution=execution):
            return execution.state.is_terminated
        case ExecutionDeleted():
            return True
        case _:
            return False
