"""
Lists of executions, log lines, metrics and records of changes: filtered, ordered, a page at a time.

In the default order a list goes on after a key (keyset), whatever lies before it; in other orders, and by page
number, rows are skipped, at most TOTAL_MAX of them. A total is counted up to TOTAL_MAX, and only when the page does
not tell it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from psycopg import sql

from tiercel.errors import Refused
from tiercel.messages.history import AuditRecord
from tiercel.model.execution import Execution, LogEntry, MetricEntry
from tiercel.repository.base import TOTAL_MAX, Found, MetricBucket, Page, bad_cursor, skipped
from tiercel.repository.filter import LEVELS, Filter
from tiercel.repository.postgres import where
from tiercel.repository.postgres.pool import Pool

T = TypeVar("T")
POSITION_BITS: Final = 63
"""Bits of a position, without its sign: a bigint."""
_DECODE: Final = msgspec.msgpack.Decoder(Execution).decode

_EXECUTION_ORDER: Final = {
    "id": "id",
    "state.startDate": "started_at",
    "state.endDate": "ended_at",
    "state.duration": "coalesce(ended_at, now()) - started_at",
    "state.current": "state",
    "namespace": "namespace",
    "flowId": "flow_id",
}
_LOG_ORDER: Final = {
    "timestamp": "at",
    "level": "level",
    "namespace": "namespace",
    "flowId": "flow_id",
    "taskId": "task_id",
}
_METRIC_ORDER: Final = {"timestamp": "at", "name": "name", "value": "value", "taskId": "task_id"}
_LOG_COLUMNS: Final = (
    "tenant_id, namespace, flow_id, at, level, message, execution_id, task_id, task_run_id, attempt, trigger_id,"
    " thread, position"
)
_METRIC_COLUMNS: Final = (
    "tenant_id, namespace, flow_id, at, name, type, value, execution_id, task_id, task_run_id, tags, position"
)
_AUDIT_COLUMNS: Final = "tenant_id, at, id, actor, action, subject, detail"
_AGGREGATIONS: Final = frozenset({"sum", "avg", "min", "max"})


class _List(msgspec.Struct, frozen=True):
    """What distinguishes one kind of list: its table, columns, orders, and the key that a cursor holds."""

    table: str
    columns: str
    orders: Mapping[str, str]
    time: str
    tie: str
    descending: bool
    key: Callable[[tuple[Any, ...]], tuple[datetime, Any]]


_EXECUTIONS: Final = _List(
    "tr.execution", "body, started_at, id", _EXECUTION_ORDER, "started_at", "id", True, lambda row: (row[1], row[2])
)
_LOGS: Final = _List("tr.log", _LOG_COLUMNS, _LOG_ORDER, "at", "position", False, lambda row: (row[3], row[12]))
_METRICS: Final = _List(
    "tr.metric", _METRIC_COLUMNS, _METRIC_ORDER, "at", "position", False, lambda row: (row[3], row[11])
)

_AUDIT: Final = _List("tr.audit", _AUDIT_COLUMNS, {"date": "at"}, "at", "id", True, lambda row: (row[1], row[2]))


async def executions(pool: Pool, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[Execution]:
    found = await _list(pool, _EXECUTIONS, where.executions(tenant_id, filters), page)
    return Found(results=[_DECODE(row[0]) for row in found.results], total=found.total, cursor=found.cursor)


async def logs(pool: Pool, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[LogEntry]:
    found = await _list(pool, _LOGS, where.logs(tenant_id, filters), page)
    return Found(results=[_log(row) for row in found.results], total=found.total, cursor=found.cursor)


async def metrics(pool: Pool, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[MetricEntry]:
    found = await _list(pool, _METRICS, where.metrics(tenant_id, filters), page)
    return Found(results=[_metric(row) for row in found.results], total=found.total, cursor=found.cursor)


async def audit(pool: Pool, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[AuditRecord]:
    found = await _list(pool, _AUDIT, where.audit(tenant_id, filters), page)
    return Found(results=[_record(row) for row in found.results], total=found.total, cursor=found.cursor)


async def delete_logs(pool: Pool, tenant_id: str, filters: Sequence[Filter], limit: int | None = None) -> int:
    condition, values = where.logs(tenant_id, filters)
    text = sql.SQL("DELETE FROM tr.log WHERE {}").format(condition)
    if limit is not None:
        last = sql.SQL("SELECT at, position FROM tr.log WHERE {} ORDER BY at, position OFFSET %s LIMIT 1")
        found = await pool.rows(last.format(condition), [*values, limit - 1])
        if found:
            text, values = text + sql.SQL(" AND (at, position) <= (%s, %s)"), [*values, *found[0]]
    async with pool.connection() as connection:
        cursor = await connection.execute(text, values)
        return cursor.rowcount


async def delete_metrics(pool: Pool, tenant_id: str, filters: Sequence[Filter]) -> int:
    condition, values = where.metrics(tenant_id, filters)
    async with pool.connection() as connection:
        cursor = await connection.execute(sql.SQL("DELETE FROM tr.metric WHERE {}").format(condition), values)
        return cursor.rowcount


async def count(pool: Pool, tenant_id: str, filters: Sequence[Filter]) -> int:
    condition, values = where.executions(tenant_id, filters)
    rows = await pool.rows(sql.SQL("SELECT count(*) FROM tr.execution WHERE {}").format(condition), values)
    return int(rows[0][0])


async def metric_buckets(
    pool: Pool, tenant_id: str, filters: Sequence[Filter], aggregation: str, bucket_s: int
) -> list[MetricBucket]:
    if aggregation not in _AGGREGATIONS:
        raise Refused(f"'{aggregation}' is not an aggregation; use one of {', '.join(sorted(_AGGREGATIONS))}.")
    condition, values = where.metrics(tenant_id, filters)
    text = sql.SQL(
        "SELECT to_timestamp(floor(extract(epoch FROM at) / {bucket}) * {bucket}) AS bucket, name, {fold}(value)"
        " FROM tr.metric WHERE {condition} GROUP BY 1, 2 ORDER BY 1, 2"
    ).format(bucket=sql.Literal(bucket_s), fold=sql.SQL(aggregation), condition=condition)
    return [MetricBucket(date=at, name=name, value=value) for at, name, value in await pool.rows(text, values)]


async def _list(pool: Pool, kind: _List, conditions: where.Conditions, page: Page) -> Found[tuple[Any, ...]]:
    condition, values = conditions
    order, keyset = _order(kind, page)
    skip = 0
    after: sql.Composable = sql.SQL("")
    parameters = list(values)
    if page.cursor is not None and keyset is not None:
        time, tie = _parse_cursor(page.cursor, counted=kind.tie == "position")
        after = sql.SQL(f" AND ({kind.time}, {kind.tie}) {keyset} (%s, %s)")
        parameters += [time, tie]
    else:
        skip = skipped(page)
        if skip > TOTAL_MAX:
            raise Refused(f"A list ends after {TOTAL_MAX} entries; narrow the search, or follow the cursor.")
    text = sql.SQL("SELECT {columns} FROM {table} WHERE {condition}{after} ORDER BY {order} LIMIT %s OFFSET %s").format(
        columns=sql.SQL(kind.columns),
        table=sql.SQL(kind.table),
        condition=condition,
        after=after,
        order=sql.SQL(order),
    )
    rows = await pool.rows(text, [*parameters, page.size + 1, skip])
    more, rows = len(rows) > page.size, rows[: page.size]
    cursor = None
    if more:
        cursor = str(skip + page.size) if keyset is None else _cursor(*kind.key(rows[-1]))
    total = None
    if page.total:
        counted = page.cursor is None and not more and (rows or skip == 0)
        total = skip + len(rows) if counted else await _count(pool, kind, condition, values)
    return Found(results=rows, total=total, cursor=cursor)


async def _count(pool: Pool, kind: _List, condition: sql.Composable, values: Sequence[Any]) -> int:
    text = sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {condition} LIMIT {limit}) c").format(
        table=sql.SQL(kind.table),
        condition=condition,
        limit=sql.Literal(TOTAL_MAX),
    )
    return int((await pool.rows(text, values))[0][0])


def _order(kind: _List, page: Page) -> tuple[str, str | None]:
    """Return the order, and the comparison of a keyset cursor when the order is that of time alone."""
    terms = []
    for sort in page.sort:
        if sort.field not in kind.orders:
            raise Refused(f"A list cannot be sorted by '{sort.field}'; use one of {', '.join(kind.orders)}.")
        terms.append(f"{kind.orders[sort.field]} {'DESC' if sort.descending else 'ASC'}")
    down = page.sort[-1].descending if page.sort else kind.descending
    by_time = not page.sort or (len(page.sort) == 1 and kind.orders[page.sort[0].field] == kind.time)
    word = "DESC" if down else "ASC"
    if not terms:
        terms.append(f"{kind.time} {word}")
    if not any(term.startswith(f"{kind.tie} ") for term in terms):
        terms.append(f"{kind.tie} {word}")
    return ", ".join(terms), ("<" if down else ">") if by_time else None


def _cursor(time: datetime, tie: Any) -> str:
    return f"{int(time.timestamp() * 1_000_000)}.{tie}"


def _parse_cursor(cursor: str, *, counted: bool) -> tuple[datetime, Any]:
    """Read a cursor; what tells entries of one time apart is a number where they are counted."""
    time, _, tie = cursor.partition(".")
    try:
        micros, place = int(time), int(tie) if counted else tie
        at = datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)
    except (ValueError, OverflowError, OSError):
        raise bad_cursor(cursor) from None
    if not tie or (counted and abs(int(place)) >> POSITION_BITS):
        raise bad_cursor(cursor)
    return at, place


def _log(row: tuple[Any, ...]) -> LogEntry:
    return LogEntry(
        tenant_id=row[0],
        namespace=row[1],
        flow_id=row[2],
        timestamp=row[3],
        level=LEVELS[row[4]],
        message=row[5],
        execution_id=row[6],
        task_id=row[7],
        task_run_id=row[8],
        attempt_number=row[9],
        trigger_id=row[10],
        thread=row[11],
    )


def _metric(row: tuple[Any, ...]) -> MetricEntry:
    return MetricEntry(
        tenant_id=row[0],
        namespace=row[1],
        flow_id=row[2],
        timestamp=row[3],
        name=row[4],
        type=row[5],
        value=row[6],
        execution_id=row[7],
        task_id=row[8],
        task_run_id=row[9],
        tags=row[10],
    )


def _record(row: tuple[Any, ...]) -> AuditRecord:
    return AuditRecord(
        tenant_id=row[0], at=row[1], id=row[2], actor=row[3], action=row[4], subject=row[5], detail=row[6]
    )
