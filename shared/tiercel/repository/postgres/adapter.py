"""The repository on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tiercel.messages.history import AuditRecord
from tiercel.model import ids
from tiercel.model.execution import Execution, LogEntry, MetricEntry, OutputRef, TaskRun
from tiercel.model.state import State
from tiercel.repository.base import Belongings, FlowLatest, Found, HistoryBatch, MetricBucket, Page
from tiercel.repository.filter import Filter
from tiercel.repository.postgres import listing, statement, writing
from tiercel.repository.postgres.migration import migrate
from tiercel.repository.postgres.partition import WEEK, Partitions
from tiercel.repository.postgres.pool import Pool

_SQL: Final = statement.load("reading.sql")
_EXECUTION: Final = msgspec.msgpack.Decoder(Execution).decode
_RUN: Final = msgspec.msgpack.Decoder(TaskRun).decode
_OUTPUT: Final = msgspec.msgpack.Decoder(OutputRef).decode


class PostgresRepository:
    """
    Keeps history in a database of its own: a long search here does not hold back the vacuum of a queue.

    `migrate` brings the schema up to date; nothing else changes it but partitions of new weeks.
    """

    def __init__(self, uri: str, *, pool_size_max: int = 4) -> None:
        self._pool = Pool(uri, size_max=pool_size_max)
        self._partitions = Partitions()
        self._making = asyncio.Lock()
        self._tenants: set[str] = set()

    async def migrate(self) -> list[str]:
        """Apply missing migrations; return their names."""
        async with self._pool.connection() as connection:
            return await migrate(connection)

    async def write(self, batch: HistoryBatch) -> None:
        async with self._pool.connection() as connection:
            await self._prepare(connection, batch)
            async with connection.transaction():
                await writing.write(connection, batch)

    async def _prepare(self, connection: Any, batch: HistoryBatch) -> None:
        """Make the tenants known and the partitions that the batch needs."""
        entries: list[LogEntry | MetricEntry] = [entry for logs in batch.logs for entry in logs.entries]
        entries += [entry for metrics in batch.metrics for entry in metrics.entries]
        tenants = {change.execution.tenant_id for change in batch.executions.values()}
        tenants.update(entry.tenant_id for entry in entries)
        if not tenants <= self._tenants:
            await writing.put_tenants(connection, sorted(tenants))
            self._tenants |= tenants
        missing = self._partitions.missing(_instants(batch, entries), datetime.now(UTC))
        if missing:
            async with self._making:
                await self._partitions.make(connection, missing)

    async def confirmed(self, execution_ids: Sequence[str]) -> dict[str, int]:
        rows = await self._pool.rows(_SQL["confirmed"], (list(execution_ids),))
        return dict(rows)

    async def anywhere(self, execution_ids: Sequence[str]) -> dict[str, Execution]:
        found = [_EXECUTION(body) for (body,) in await self._pool.rows(_SQL["anywhere"], (list(execution_ids),))]
        return {execution.id: execution for execution in found}

    async def execution(self, tenant_id: str, execution_id: str) -> Execution | None:
        return (await self.executions(tenant_id, [execution_id])).get(execution_id)

    async def executions(self, tenant_id: str, execution_ids: Sequence[str]) -> dict[str, Execution]:
        rows = await self._pool.rows(_SQL["executions"], (tenant_id, list(execution_ids)))
        found = [_EXECUTION(body) for (body,) in rows]
        return {execution.id: execution for execution in found}

    async def runs(self, tenant_id: str, execution_id: str) -> list[TaskRun]:
        return [_RUN(body) for (body,) in await self._pool.rows(_SQL["runs"], (tenant_id, execution_id))]

    async def outputs(
        self, tenant_id: str, execution_id: str, seqs: Sequence[int] | None = None
    ) -> dict[int, OutputRef]:
        parameters = {"tenant": tenant_id, "id": execution_id, "seqs": None if seqs is None else list(seqs)}
        return {seq: _OUTPUT(body) for seq, body in await self._pool.rows(_SQL["outputs"], parameters)}

    async def search(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[Execution]:
        return await listing.executions(self._pool, tenant_id, filters, page)

    async def latest(
        self, tenant_id: str, flows: Sequence[tuple[str, str]], states: Sequence[State] | None = None
    ) -> list[FlowLatest]:
        parameters = {
            "tenant": tenant_id,
            "namespaces": [namespace for namespace, _ in flows],
            "flows": [flow_id for _, flow_id in flows],
            "states": None if states is None else [state.value for state in states],
        }
        rows = await self._pool.rows(_SQL["latest"], parameters)
        return [FlowLatest(namespace=ns, flow_id=flow_id, execution=_EXECUTION(body)) for ns, flow_id, body in rows]

    async def logs(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[LogEntry]:
        return await listing.logs(self._pool, tenant_id, filters, page)

    async def delete_logs(self, tenant_id: str, filters: Sequence[Filter], limit: int | None = None) -> int:
        return await listing.delete_logs(self._pool, tenant_id, filters, limit)

    async def count(self, tenant_id: str, filters: Sequence[Filter]) -> int:
        return await listing.count(self._pool, tenant_id, filters)

    async def belongings(self, tenant_id: str, execution_ids: Sequence[str]) -> Belongings:
        rows = await self._pool.rows(_SQL["belongings"], {"tenant": tenant_id, "ids": list(execution_ids)})
        logs, metrics, outputs = rows[0]
        return Belongings(logs=logs, metrics=metrics, outputs=outputs)

    async def metrics(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[MetricEntry]:
        return await listing.metrics(self._pool, tenant_id, filters, page)

    async def audit(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[AuditRecord]:
        return await listing.audit(self._pool, tenant_id, filters, page)

    async def delete_metrics(self, tenant_id: str, filters: Sequence[Filter]) -> int:
        return await listing.delete_metrics(self._pool, tenant_id, filters)

    async def metric_names(self, tenant_id: str, namespace: str, flow_id: str, task_id: str | None = None) -> list[str]:
        parameters = {"tenant": tenant_id, "namespace": namespace, "flow": flow_id, "task": task_id}
        return [name for (name,) in await self._pool.rows(_SQL["metric_names"], parameters)]

    async def metric_tasks(self, tenant_id: str, namespace: str, flow_id: str) -> list[str]:
        return [task for (task,) in await self._pool.rows(_SQL["metric_tasks"], (tenant_id, namespace, flow_id))]

    async def metric_buckets(
        self, tenant_id: str, filters: Sequence[Filter], aggregation: str, bucket_s: int
    ) -> list[MetricBucket]:
        return await listing.metric_buckets(self._pool, tenant_id, filters, aggregation, bucket_s)

    async def purge(self, before: datetime) -> int:
        async with self._pool.connection() as connection:
            return await self._partitions.drop(connection, before)

    async def forget_batches(self, before: datetime) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_SQL["forget_batches"], (before,))

    async def close(self) -> None:
        await self._pool.close()


_SAME_TIME: Final = 6
"""Letters at the beginning of ids: those that share them are of the same forty seconds."""


def _instants(batch: HistoryBatch, entries: Sequence[LogEntry | MetricEntry]) -> list[datetime | None]:
    """Return instants of all weeks that the batch has rows of, without looking at each row's."""
    samples = {id_[:_SAME_TIME]: id_ for id_ in batch.executions}
    instants = [ids.instant_of(id_) for id_ in samples.values()]
    times = [entry.timestamp for entry in entries] + [record.at for record in batch.audit]
    if times:
        first, last = min(times), max(times)
        instants += [first, last]
        instants += times if last - first > WEEK else []
    return instants
