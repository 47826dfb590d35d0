"""How a batch of history becomes rows: one transaction, few statements, arrays and COPY instead of single rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from tiercel.messages.history import AuditRecord, LogBatch, MetricBatch
from tiercel.model.execution import Execution, LogEntry, MetricEntry
from tiercel.model.system import CORRELATION_ID, FROM
from tiercel.repository.base import ExecutionChange, HistoryBatch
from tiercel.repository.filter import LEVELS
from tiercel.repository.postgres import statement
from tiercel.repository.postgres.where import LABEL_MAX

_SQL: Final = statement.load("writing.sql")
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_RANKS: Final = {level: rank for rank, level in enumerate(LEVELS)}
_KEY_MAX: Final = 256
"""Characters of a metric's name that are kept: an index has no room for more than some kilobytes."""
_LOG_TYPES: Final = [
    "text",
    "timestamptz",
    "int2",
    "text",
    "text",
    "text",
    "text",
    "text",
    "int4",
    "text",
    "text",
    "text",
]
_METRIC_TYPES: Final = [
    "text",
    "timestamptz",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "text",
    "float8",
    "jsonb",
]
_UNIT: Final = "\x1f"
_DELETED_AT_ONCE: Final = 1000
"""Executions of one statement: with many more the server would read whole tables instead of their indexes."""

B = TypeVar("B", LogBatch, MetricBatch)


async def write(connection: AsyncConnection[Any], batch: HistoryBatch) -> None:
    """Write a batch inside the transaction of the connection."""
    changes = batch.executions.values()
    known: dict[str, int] = {}
    new: set[tuple[str, int]] = set()
    entries = [(logs.producer, logs.sequence) for logs in batch.logs]
    entries += [(metrics.producer, metrics.sequence) for metrics in batch.metrics]
    async with connection.pipeline():
        versions = ledger = None
        if changes:
            tenants = list({change.execution.tenant_id for change in changes})
            versions = await connection.execute(_SQL["versions"], {"tenants": tenants, "ids": list(batch.executions)})
        if entries:
            ledger = await connection.execute(_SQL["enter_ledger"], _columns(sorted(entries), 2))
    if versions is not None:
        known = dict(await versions.fetchall())
    if ledger is not None:
        new = set(await ledger.fetchall())
    async with connection.pipeline():
        await _put_executions(connection, changes, known)
        if batch.audit:
            await connection.execute(_SQL["put_audit"], _columns(map(_audit_row, batch.audit), 7))
    await _copy(connection, "copy_logs", _LOG_TYPES, [_log_row(e) for b in _fresh(batch.logs, new) for e in b.entries])
    rows = [_metric_row(entry) for part in _fresh(batch.metrics, new) for entry in part.entries]
    await _copy(connection, "copy_metrics", _METRIC_TYPES, rows)
    if batch.deleted:
        await _delete(connection, batch)


async def _put_executions(
    connection: AsyncConnection[Any], changes: Iterable[ExecutionChange], known: dict[str, int]
) -> None:
    executions, runs, removed = [], [], []
    for change in changes:
        execution = change.execution
        stored = known.get(execution.id, -1)
        if execution.version > stored:
            executions.append(_execution_row(execution))
        for seq, run in change.runs.items():
            if run.version <= stored:
                continue
            if run.run is None and run.output is None:
                removed.append((execution.tenant_id, execution.id, seq, run.version))
                continue
            body = None if run.run is None else _ENCODE(run.run)
            output = None if run.output is None else _ENCODE(run.output)
            runs.append((execution.tenant_id, execution.id, seq, run.version, body, output))
    if executions:
        await connection.execute(_SQL["put_executions"], _columns(executions, 13))
    if runs:
        await connection.execute(_SQL["put_runs"], _columns(runs, 6))
    if removed:
        await connection.execute(_SQL["remove_runs"], _columns(removed, 4))


async def _copy(
    connection: AsyncConnection[Any], name: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    if not rows:
        return
    async with connection.cursor() as cursor, cursor.copy(_SQL[name]) as copy:
        copy.set_types(types)
        for row in rows:
            await copy.write_row(row)


async def _delete(connection: AsyncConnection[Any], batch: HistoryBatch) -> None:
    """Delete executions with what belongs to them: their iterations, too, of which there may be very many."""
    below = await connection.execute(_SQL["iterations_below"], {"ids": list(batch.deleted)})
    gone = {**batch.deleted, **{id_: batch.deleted[root] for id_, root in await below.fetchall()}}
    ids = list(gone)
    for start in range(0, len(ids), _DELETED_AT_ONCE):
        part = ids[start : start + _DELETED_AT_ONCE]
        async with connection.pipeline():
            await connection.execute(_SQL["delete_executions"], (part,))
            await connection.execute(_SQL["delete_runs"], (part,))
            if logs := [id_ for id_ in part if gone[id_].logs]:
                await connection.execute(_SQL["delete_logs"], (logs,))
            if metrics := [id_ for id_ in part if gone[id_].metrics]:
                await connection.execute(_SQL["delete_metrics"], (metrics,))


async def put_tenants(connection: AsyncConnection[Any], tenants: Iterable[str]) -> None:
    """Make tenants known, before anything of theirs is written."""
    await connection.execute(_SQL["put_tenants"], (list(tenants),))


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    assert len(columns) == width
    return columns


def _fresh(batches: Iterable[B], new: set[tuple[str, int]]) -> Iterable[B]:
    """Yield the batches that the ledger did not know; one that comes twice in `batches` counts once."""
    for batch in batches:
        if (batch.producer, batch.sequence) in new:
            new.discard((batch.producer, batch.sequence))
            yield batch


def _execution_row(execution: Execution) -> tuple[Any, ...]:
    trigger = execution.trigger
    by = trigger.variables.get("executionId") if trigger is not None else None
    # every execution says where it came from and, mostly, its own id: not worth an index entry
    labels = [
        f"{key}:{value}"[:LABEL_MAX].replace("\x00", "")
        for key, value in execution.labels
        if key != FROM and not (key == CORRELATION_ID and value == execution.id)
    ]
    return (
        execution.tenant_id,
        execution.id,
        execution.version,
        execution.namespace,
        execution.flow_id,
        execution.state.value,
        execution.kind.value,
        execution.history[0].date,
        execution.history[-1].date if execution.state.is_terminated else None,
        by if isinstance(by, str) else None,
        execution.parent_id,
        _UNIT.join(labels),
        _ENCODE(execution),
    )


def _log_row(entry: LogEntry) -> tuple[Any, ...]:
    message = entry.message.replace("\x00", "\ufffd") if "\x00" in entry.message else entry.message
    return (
        entry.tenant_id,
        entry.timestamp,
        _RANKS.get(entry.level, 2),
        entry.namespace,
        entry.flow_id,
        entry.execution_id,
        entry.task_id,
        entry.task_run_id,
        entry.attempt_number,
        entry.trigger_id,
        entry.thread,
        message,
    )


def _metric_row(entry: MetricEntry) -> tuple[Any, ...]:
    return (
        entry.tenant_id,
        entry.timestamp,
        entry.namespace,
        entry.flow_id,
        entry.execution_id,
        entry.task_id,
        entry.task_run_id,
        entry.name[:_KEY_MAX].replace("\x00", ""),
        entry.type,
        entry.value,
        Jsonb(entry.tags),
    )


def _audit_row(record: AuditRecord) -> tuple[Any, ...]:
    detail = Jsonb(record.detail)
    return (record.tenant_id, record.at, record.id, record.actor, record.action, record.subject, detail)
