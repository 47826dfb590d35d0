"""
The repository's port: what happened, written by the indexer and searched by everybody who looks back.

Writes are idempotent: executions and task runs carry versions and the last one wins, batches of logs and metrics are
known by (producer, sequence). A batch is one transaction. Lists are bounded: a total above `TOTAL_MAX` is reported as
`TOTAL_MAX`, and pages end there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from tiercel.errors import Refused
from tiercel.messages.history import AuditRecord, ExecutionDeleted, LogBatch, MetricBatch
from tiercel.model.execution import Execution, LogEntry, MetricEntry, OutputRef, TaskRun
from tiercel.model.state import State
from tiercel.repository.filter import Filter

T = TypeVar("T")

TOTAL_MAX: Final = 10_000
"""Counting stops here: nobody turns to page 400, and an unbounded count reads the whole history."""
CURSOR_DIGITS_MAX: Final = 9
"""Digits of a cursor that counts entries: no list in memory is longer."""


class RunChange(msgspec.Struct, frozen=True, kw_only=True):
    """
    A task run as it is at a version of its execution; None for one that no longer belongs to it.

    `output` is set when the version brought outputs.
    """

    version: int
    run: TaskRun | None = None
    output: OutputRef | None = None


class ExecutionChange(msgspec.Struct, kw_only=True):
    """An execution at its newest version, and its task runs (by `seq`) that changed on the way there."""

    execution: Execution
    runs: dict[int, RunChange] = {}


class HistoryBatch(msgspec.Struct, kw_only=True):
    """What one transaction of the indexer writes; each execution and each task run appears once."""

    executions: dict[str, ExecutionChange] = {}
    deleted: dict[str, ExecutionDeleted] = {}
    """Go with everything that belongs to them: their task runs, and the executions of kind LOOP below them."""
    logs: list[LogBatch] = []
    metrics: list[MetricBatch] = []
    audit: list[AuditRecord] = []


class Sort(msgspec.Struct, frozen=True, kw_only=True):
    """One field of an order, by its name in JSON (`state.startDate`, `namespace` …)."""

    field: str
    descending: bool = False


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which part of a list: page number (from 1), or what follows the `cursor` of an earlier answer.

    With `total` False nobody counts.
    """

    number: int = 1
    size: int = 10
    sort: tuple[Sort, ...] = ()
    cursor: str | None = None
    total: bool = True


def skipped(page: Page) -> int:
    """Return how many entries come before a page whose cursor counts them; raise Refused when it does not."""
    if not page.cursor:
        return (page.number - 1) * page.size
    if not (page.cursor.isascii() and page.cursor.isdigit() and len(page.cursor) <= CURSOR_DIGITS_MAX):
        raise bad_cursor(page.cursor)
    return int(page.cursor)


def bad_cursor(cursor: str) -> Refused:
    """Return the refusal of a cursor that no answer has held."""
    return Refused(f"'{cursor}' is not a cursor of this list; take it from `nextCursor` of an answer.")


class Found(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list, how many there are in all (at most TOTAL_MAX), and where to go on."""

    results: list[T]
    total: int | None = None
    cursor: str | None = None


class FlowLatest(msgspec.Struct, frozen=True, kw_only=True):
    """The last execution of a flow."""

    namespace: str
    flow_id: str
    execution: Execution


class Belongings(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries of the history belong to some executions."""

    logs: int = 0
    metrics: int = 0
    outputs: int = 0


class MetricBucket(msgspec.Struct, frozen=True, kw_only=True):
    """The aggregated value of a metric in the stretch of time that begins at `date`."""

    date: datetime
    name: str
    value: float


class Repository(Protocol):
    """Keeps history. A missing thing is None or left out; an unreachable backend raises Unavailable."""

    async def write(self, batch: HistoryBatch) -> None:
        """Write a batch in one transaction; parts that are known already change nothing."""
        ...

    async def confirmed(self, execution_ids: Sequence[str]) -> dict[str, int]:
        """Return the stored version of the executions that exist."""
        ...

    async def anywhere(self, execution_ids: Sequence[str]) -> dict[str, Execution]:
        """Return the executions that exist, of whatever tenant: ids are unique over tenants."""
        ...

    async def execution(self, tenant_id: str, execution_id: str) -> Execution | None:
        """Return an execution."""
        ...

    async def executions(self, tenant_id: str, execution_ids: Sequence[str]) -> dict[str, Execution]:
        """Return those of these executions that exist, by id."""
        ...

    async def runs(self, tenant_id: str, execution_id: str) -> list[TaskRun]:
        """Return the task runs of an execution in order of `seq`."""
        ...

    async def outputs(
        self, tenant_id: str, execution_id: str, seqs: Sequence[int] | None = None
    ) -> dict[int, OutputRef]:
        """Return outputs by the `seq` of their task run."""
        ...

    async def search(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[Execution]:
        """Return a page of executions, the newest first unless sorted; only NORMAL ones unless filtered by kind."""
        ...

    async def latest(
        self, tenant_id: str, flows: Sequence[tuple[str, str]], states: Sequence[State] | None = None
    ) -> list[FlowLatest]:
        """Return the last execution of each flow (namespace, id) that has one (in one of these states)."""
        ...

    async def logs(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[LogEntry]:
        """Return a page of log lines by time, the oldest first unless sorted."""
        ...

    async def delete_logs(self, tenant_id: str, filters: Sequence[Filter], limit: int | None = None) -> int:
        """Delete log lines, with a `limit` the oldest so many; return how many."""
        ...

    async def audit(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[AuditRecord]:
        """Return a page of the records of changes, the newest first unless sorted."""
        ...

    async def delete_metrics(self, tenant_id: str, filters: Sequence[Filter]) -> int:
        """Delete measurements; return how many."""
        ...

    async def count(self, tenant_id: str, filters: Sequence[Filter]) -> int:
        """Return exactly how many executions a search finds; who asks bounds it by time."""
        ...

    async def belongings(self, tenant_id: str, execution_ids: Sequence[str]) -> Belongings:
        """Return how many entries of each kind executions have."""
        ...

    async def metrics(self, tenant_id: str, filters: Sequence[Filter], page: Page) -> Found[MetricEntry]:
        """Return a page of measurements by time, the oldest first unless sorted."""
        ...

    async def metric_names(self, tenant_id: str, namespace: str, flow_id: str, task_id: str | None = None) -> list[str]:
        """Return the names of the metrics that a flow (or one task of it) has published."""
        ...

    async def metric_tasks(self, tenant_id: str, namespace: str, flow_id: str) -> list[str]:
        """Return the tasks of a flow that have published metrics."""
        ...

    async def metric_buckets(
        self, tenant_id: str, filters: Sequence[Filter], aggregation: str, bucket_s: int
    ) -> list[MetricBucket]:
        """Return the `sum`, `avg`, `min` or `max` of matching metrics per stretch of time, oldest first."""
        ...

    async def purge(self, before: datetime) -> int:
        """Drop the time partitions that end before the instant; return how many."""
        ...

    async def forget_batches(self, before: datetime) -> None:
        """Forget which batches of logs and metrics were written before the instant: none of them comes again."""
        ...

    async def close(self) -> None:
        """Let go of connections and the like; nothing is asked of it afterwards."""
        ...
