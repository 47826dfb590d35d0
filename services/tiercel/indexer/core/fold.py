"""Folds messages of history into one batch: of each execution and each task run only the newest version remains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from tiercel.messages.history import (
    AuditRecord,
    ExecutionChanged,
    ExecutionDeleted,
    History,
    LogBatch,
    MetricBatch,
)
from tiercel.repository.base import ExecutionChange, HistoryBatch, RunChange


def fold(messages: Iterable[History]) -> HistoryBatch:
    """Return what these messages, in this order, come to."""
    batch = HistoryBatch()
    for message in messages:
        match message:
            case ExecutionChanged():
                _change(batch, message)
            case ExecutionDeleted(execution_id=id_):
                batch.executions.pop(id_, None)
                batch.deleted[id_] = message
            case LogBatch():
                batch.logs.append(message)
            case MetricBatch():
                batch.metrics.append(message)
            case AuditRecord():
                batch.audit.append(message)
            case _:
                assert_never(message)
    return batch


def _change(batch: HistoryBatch, message: ExecutionChanged) -> None:
    execution = message.execution
    if execution.id in batch.deleted:
        return  # a change of before the deletion that came again
    change = batch.executions.get(execution.id)
    if change is None:
        change = batch.executions[execution.id] = ExecutionChange(execution=execution)
    elif change.execution.version <= execution.version:
        change.execution = execution
    else:
        return  # an older version that came again
    version, runs = execution.version, change.runs
    for seq in message.removed:
        runs[seq] = RunChange(version=version)
    for run in message.runs:
        earlier = runs.get(run.seq)
        output = message.outputs.get(run.seq) or (earlier.output if earlier is not None else None)
        runs[run.seq] = RunChange(version=version, run=run, output=output)
    for seq, ref in message.outputs.items():
        earlier = runs.get(seq)
        if earlier is None or earlier.output is not ref:
            runs[seq] = RunChange(version=version, run=earlier.run if earlier is not None else None, output=ref)
