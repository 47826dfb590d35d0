"""The repository in memory: the contract in its plainest form, for tests and for `tiercel run`."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from tiercel.messages.history import AuditRecord, ExecutionDeleted
from tiercel.model import ids
from tiercel.model.execution import Execution, ExecutionKind, LogEntry, MetricEntry, OutputRef, TaskRun
from tiercel.model.state import State
from tiercel.repository.base import (
    TOTAL_MAX,
    Belongings,
    ExecutionChange,
    FlowLatest,
    Found,
    HistoryBatch,
    MetricBucket,
    Page,
    RunChange,
    Sort,
    skipped,
)
from tiercel.repository.filter import Field, Filter, level_rank
from tiercel.repository.memory_match import audit_matches, ended, execution_matches, log_matches, metric_matches

T = TypeVar("T")


class _Kept:
    __slots__ = ("execution", "outputs", "runs")

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.runs: dict[int, tuple[int, TaskRun]] = {}
        self.outputs: dict[int, OutputRef] = {}


class MemoryRepository:
    """Keeps history in dictionaries; everything is gone with the process."""

    def __init__(self) -> None:
        self._executions: dict[str, _Kept] = {}
        self._logs: list[LogEntry] = []
        self._metrics: list[MetricEntry] = []
        self._ledger: set[tuple[str, int]] = set()
        self._audit: dict[str, AuditRecord] = {}

    async def write(self, batch: HistoryBatch) -> None:
        for change in batch.executions.values():
            self._keep(change)
        for logs in batch.logs:
            if self._is_new(logs.producer, logs.sequence):
                self._logs.extend(logs.entries)
        for metrics in batch.metrics:
            if self._is_new(metrics.producer, metrics.sequence):
                self._metrics.extend(metrics.entries)
        self._audit.update((record.id, record) for record in batch.audit)
        for deleted in batch.deleted.values():
            self._delete(deleted.execution_id, deleted)

    def _delete(self, execution_id: str, deleted: ExecutionDeleted) -> None:
        self._executions.pop(execution_id, None)
        if deleted.logs:
            self._logs = [line for line in self._logs if line.execution_id != execution_id]
        if deleted.metrics:
            self._metrics = [entry for entry in self._metrics if entry.execution_id != execution_id]
        kept = [each.execution for each in self._executions.values()]
        for execution in kept:
            if execution.parent_id == execution_id and execution.kind is ExecutionKind.LOOP:
                self._delete(execution.id, deleted)

    def _is_new(self, producer: str, sequence: int) -> bool:
        if (producer, sequence) in self._ledger:
            return False
        self._ledger.add((producer, sequence))
        return True

    def _keep(self, change: ExecutionChange) -> None:
        kept = self._executions.get(change.execution.id)
        known = -1 if kept is None else kept.execution.version
        if kept is None:
            kept = self._executions[change.execution.id] = _Kept(change.execution)
        elif known < change.execution.version:
            kept.execution = change.execution
        for seq, run in change.runs.items():
            if run.version > known:
                _keep_run(kept, seq, run)

    async def confirmed(self, execution_ids: Sequence[str]) -> dict[str, int]:
        return {id_: kept.execution.version for id_ in execution_ids if (kept := self._executions.get(id_))}

    async def anywhere(self, execution_ids: Sequence[str]) -> dict[str, Execution]:
        return {id_: kept.execution for id_ in execution_ids if (kept := self._executions.get(id_))}

    async def execution(self, tenant_id: str, execution_id: str) -> Execution | None:
        return (await self.executions(tenant_id, [execution_id])).get(execution_id)

    async def executions(self, tenant_id: str, execution_ids: Sequence[str]) -> dict[str, Execution]:
        kept = {id_: self._executions[id_].execution for id_ in execution_ids if id_ in self._executions}
        return {id_: execution for id_, execution in kept.items() if execution.tenant_id == tenant_id}

    async def runs(self, tenant_id: str, execution_id: str) -> list[TaskRun]:
        kept = self._executions.get(execution_id)
        if kept is None or kept.execution.tenant_id != tenant_id:
            return []
        return [kept.runs[seq][1] for seq in sorted(kept.runs)]

    async def outputs(
        self, tenant_id: str, execution_id: str, seqs: Sequence[int] | None = None
    ) -> dict[int, OutputRef]:
        kept = self._executions.get(execution_id)
        if kept is None or kept.execution.tenant_id != tenant_id:
            return {}
        return {seq: ref for seq, ref in sorted(kept.outputs.items()) if seqs is None or seq in seqs}

    async def search(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[Execution]:
        found = self._matching_executions(tenant_id, filters)
        if page.sort:
            return _page(found, page, page.sort, _EXECUTION_KEYS, lambda execution: execution.id)
        found.sort(key=_place, reverse=True)
        total = min(len(found), TOTAL_MAX) if page.total else None
        if page.cursor:
            # A place and not a number: what was shown may be deleted before the next page is asked for.
            found = [each for each in found if _place(each) < tuple(page.cursor.split("|"))]
        start = 0 if page.cursor else (page.number - 1) * page.size
        part = found[start : start + page.size]
        more = start + page.size < len(found)
        return Found(results=part, total=total, cursor="|".join(_place(part[-1])) if more else None)

    def _matching_executions(self, tenant_id: str, filters: Sequence[Filter]) -> list[Execution]:
        kinds = any(filter_.field is Field.KIND for filter_ in filters)
        return [
            kept.execution
            for kept in self._executions.values()
            if kept.execution.tenant_id == tenant_id
            and (kinds or kept.execution.kind is ExecutionKind.NORMAL)
            and all(execution_matches(kept.execution, filter_) for filter_ in filters)
        ]

    async def count(self, tenant_id: str, filters: Sequence[Filter]) -> int:
        return len(self._matching_executions(tenant_id, filters))

    async def belongings(self, tenant_id: str, execution_ids: Sequence[str]) -> Belongings:
        wanted = {id_ for id_ in execution_ids if await self.execution(tenant_id, id_) is not None}
        return Belongings(
            logs=sum(line.execution_id in wanted for line in self._logs),
            metrics=sum(entry.execution_id in wanted for entry in self._metrics),
            outputs=sum(len(self._executions[id_].outputs) for id_ in wanted),
        )

    async def latest(
        self, tenant_id: str, flows: Sequence[tuple[str, str]], states: Sequence[State] | None = None
    ) -> list[FlowLatest]:
        last: dict[tuple[str, str], Execution] = {}
        for kept in self._executions.values():
            execution = kept.execution
            key = (execution.namespace, execution.flow_id)
            if execution.tenant_id != tenant_id or key not in flows or (states and execution.state not in states):
                continue
            if execution.kind is ExecutionKind.NORMAL and (key not in last or last[key].id < execution.id):
                last[key] = execution
        return [FlowLatest(namespace=key[0], flow_id=key[1], execution=last[key]) for key in flows if key in last]

    async def logs(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[LogEntry]:
        found = self._matching_logs(tenant_id, filters)
        return _page(found, page, page.sort or (Sort(field="timestamp"),), _LOG_KEYS)

    def _matching_logs(self, tenant_id: str, filters: Sequence[Filter]) -> list[LogEntry]:
        return [
            line for line in self._logs if line.tenant_id == tenant_id and all(log_matches(line, f) for f in filters)
        ]

    async def delete_logs(self, tenant_id: str, filters: Sequence[Filter], limit: int | None = None) -> int:
        found = sorted(self._matching_logs(tenant_id, filters), key=lambda line: line.timestamp)
        gone = {id(line) for line in found[:limit]}
        self._logs = [line for line in self._logs if id(line) not in gone]
        return len(gone)

    async def metrics(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[MetricEntry]:
        found = self._matching_metrics(tenant_id, filters)
        return _page(found, page, page.sort or (Sort(field="timestamp"),), _METRIC_KEYS)

    def _matching_metrics(self, tenant_id: str, filters: Sequence[Filter]) -> list[MetricEntry]:
        return [
            entry
            for entry in self._metrics
            if entry.tenant_id == tenant_id and all(metric_matches(entry, filter_) for filter_ in filters)
        ]

    async def audit(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[AuditRecord]:
        records = [record for record in self._audit.values() if record.tenant_id == tenant_id]
        found = [record for record in records if all(audit_matches(record, filter_) for filter_ in filters)]
        newest = (Sort(field="date", descending=True),)
        return _page(found, page, page.sort or newest, {"date": lambda record: record.at}, lambda record: record.id)

    async def delete_metrics(self, tenant_id: str, filters: Sequence[Filter]) -> int:
        gone = {id(entry) for entry in self._matching_metrics(tenant_id, filters)}
        self._metrics = [entry for entry in self._metrics if id(entry) not in gone]
        return len(gone)

    async def metric_names(self, tenant_id: str, namespace: str, flow_id: str, task_id: str | None = None) -> list[str]:
        filters = [Filter(field=Field.NAMESPACE, value=namespace), Filter(field=Field.FLOW_ID, value=flow_id)]
        if task_id is not None:
            filters.append(Filter(field=Field.TASK_ID, value=task_id))
        return sorted({entry.name for entry in self._matching_metrics(tenant_id, filters)})

    async def metric_tasks(self, tenant_id: str, namespace: str, flow_id: str) -> list[str]:
        filters = [Filter(field=Field.NAMESPACE, value=namespace), Filter(field=Field.FLOW_ID, value=flow_id)]
        return sorted({entry.task_id for entry in self._matching_metrics(tenant_id, filters)})

    async def metric_buckets(
        self, tenant_id: str, filters: Sequence[Filter], aggregation: str, bucket_s: int
    ) -> list[MetricBucket]:
        values: dict[tuple[int, str], list[float]] = defaultdict(list)
        for entry in self._matching_metrics(tenant_id, filters):
            values[int(entry.timestamp.timestamp()) // bucket_s * bucket_s, entry.name].append(entry.value)
        fold = _AGGREGATIONS[aggregation]
        return [
            MetricBucket(date=datetime.fromtimestamp(date, UTC), name=name, value=fold(values[date, name]))
            for date, name in sorted(values)
        ]

    async def purge(self, before: datetime) -> int:
        old = [id_ for id_ in self._executions if (at := ids.instant_of(id_)) is not None and at < before]
        for id_ in old:
            del self._executions[id_]
        self._logs = [line for line in self._logs if line.timestamp >= before]
        self._metrics = [entry for entry in self._metrics if entry.timestamp >= before]
        self._audit = {id_: record for id_, record in self._audit.items() if record.at >= before}
        return len(old)

    async def forget_batches(self, before: datetime) -> None:
        """Keep the ledger: it goes with the process."""

    async def close(self) -> None:
        """Keep everything: another service of the process may still read."""


def _keep_run(kept: _Kept, seq: int, change: RunChange) -> None:
    if change.run is None and change.output is None:
        kept.runs.pop(seq, None)
        kept.outputs.pop(seq, None)
        return
    if change.run is not None and (seq not in kept.runs or kept.runs[seq][0] < change.version):
        kept.runs[seq] = (change.version, change.run)
    if change.output is not None:
        kept.outputs[seq] = change.output


_AGGREGATIONS: Final[dict[str, Callable[[list[float]], float]]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
}
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def _place(execution: Execution) -> tuple[str, str]:
    return execution.history[0].date.astimezone(UTC).isoformat(timespec="microseconds"), execution.id


_EXECUTION_KEYS: Final[dict[str, Callable[[Execution], Any]]] = {
    "id": lambda e: e.id,
    "state.startDate": lambda e: e.history[0].date,
    "state.endDate": lambda e: ended(e) or _LAST,
    "state.duration": lambda e: (ended(e) or _LAST) - e.history[0].date,
    "state.current": lambda e: e.state.value,
    "namespace": lambda e: e.namespace,
    "flowId": lambda e: e.flow_id,
}
_LOG_KEYS: Final[dict[str, Callable[[LogEntry], Any]]] = {
    "timestamp": lambda line: line.timestamp,
    "level": lambda line: level_rank(line.level),
    "namespace": lambda line: line.namespace,
    "flowId": lambda line: line.flow_id,
    "taskId": lambda line: line.task_id or "",
}
_METRIC_KEYS: Final[dict[str, Callable[[MetricEntry], Any]]] = {
    "timestamp": lambda entry: entry.timestamp,
    "name": lambda entry: entry.name,
    "value": lambda entry: entry.value,
    "taskId": lambda entry: entry.task_id,
}


def _page(
    found: list[T],
    page: Page,
    sort: Iterable[Sort],
    keys: dict[str, Callable[[T], Any]],
    tie: Callable[[T], Any] | None = None,
) -> Found[T]:
    for order in reversed(tuple(sort)):
        key = keys.get(order.field, next(iter(keys.values())))
        if tie is not None:
            found.sort(key=tie, reverse=order.descending)
        found.sort(key=key, reverse=order.descending)
    start = skipped(page)
    part = list(itertools.islice(found, start, start + page.size))
    more = start + page.size < len(found)
    total = min(len(found), TOTAL_MAX) if page.total else None
    return Found(results=part, total=total, cursor=str(start + page.size) if more else None)
