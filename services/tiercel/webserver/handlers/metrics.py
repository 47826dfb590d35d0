"""What tasks measured: by execution, by flow, over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from litestar import get
from litestar.params import FromPath

from tiercel.errors import Refused
from tiercel.model.execution import MetricEntry
from tiercel.repository.filter import Field, Filter, Op
from tiercel.webserver import query
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest

_BASE: Final = "/api/v1/metrics"
SPAN_DEFAULT: Final = timedelta(days=30)
"""What is summed up when the request names no beginning."""
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
"""The first instant that there is; nothing begins before it."""
_BUCKETS: Final = (
    (timedelta(hours=6), 60, "MINUTE"),
    (timedelta(days=7), 3600, "HOUR"),
    (timedelta(days=180), 86_400, "DAY"),
    (timedelta(days=730), 604_800, "WEEK"),
)


def metric_json(entry: MetricEntry) -> dict[str, Any]:
    """Return a measurement as the API shows it."""
    return {
        "tenantId": entry.tenant_id,
        "namespace": entry.namespace,
        "flowId": entry.flow_id,
        "taskId": entry.task_id,
        "executionId": entry.execution_id,
        "taskRunId": entry.task_run_id,
        "type": entry.type,
        "name": entry.name,
        "value": entry.value,
        "timestamp": entry.timestamp,
        "tags": entry.tags,
    }


@get(f"{_BASE}/{{execution_id:str}}", tags=["Metrics"])
async def execution_metrics(request: AnyRequest, execution_id: FromPath[str]) -> dict[str, Any]:
    """Return what the tasks of an execution measured."""
    call = Call(request)
    wanted = [
        Filter(field=Field.EXECUTION_ID, value=execution_id),
        *call.query.filters("METRIC", query.METRIC_FIELDS, call.api.clock.now()),
    ]
    found = await call.api.repository.metrics(call.tenant_id, wanted, call.query.page())
    return {"results": [metric_json(entry) for entry in found.results], "total": found.total}


@get(f"{_BASE}/names/{{namespace:str}}/{{flow_id:str}}", tags=["Metrics"])
async def flow_metric_names(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> list[str]:
    """Return the names of a flow's metrics."""
    call = Call(request)
    return await call.api.repository.metric_names(call.tenant_id, namespace, flow_id)


@get(f"{_BASE}/names/{{namespace:str}}/{{flow_id:str}}/{{task_id:str}}", tags=["Metrics"])
async def task_metric_names(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], task_id: FromPath[str]
) -> list[str]:
    """Return the names of a task's metrics."""
    call = Call(request)
    return await call.api.repository.metric_names(call.tenant_id, namespace, flow_id, task_id)


@get(f"{_BASE}/tasks/{{namespace:str}}/{{flow_id:str}}", tags=["Metrics"])
async def metric_tasks(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> list[str]:
    """Return the tasks of a flow that have metrics."""
    call = Call(request)
    return await call.api.repository.metric_tasks(call.tenant_id, namespace, flow_id)


@get(f"{_BASE}/aggregates/{{namespace:str}}/{{flow_id:str}}/{{metric:str}}", tags=["Metrics"])
async def flow_aggregates(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], metric: FromPath[str]
) -> dict[str, Any]:
    """Aggregate a flow's metric over time."""
    return await _aggregates(Call(request), namespace, flow_id, None, metric)


@get(f"{_BASE}/aggregates/{{namespace:str}}/{{flow_id:str}}/{{task_id:str}}/{{metric:str}}", tags=["Metrics"])
async def task_aggregates(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], task_id: FromPath[str], metric: FromPath[str]
) -> dict[str, Any]:
    """Aggregate a task's metric over time."""
    return await _aggregates(Call(request), namespace, flow_id, task_id, metric)


async def _aggregates(call: Call, namespace: str, flow_id: str, task_id: str | None, metric: str) -> dict[str, Any]:
    end = call.query.instant("endDate") or call.api.clock.now()
    start = call.query.instant("startDate") or max(end, EARLIEST + SPAN_DEFAULT) - SPAN_DEFAULT
    if start > end:
        raise Refused("Start date must be before End Date")
    wanted = [
        Filter(field=Field.NAMESPACE, value=namespace),
        Filter(field=Field.FLOW_ID, value=flow_id),
        Filter(field=Field.NAME, value=metric),
        Filter(field=Field.START_DATE, op=Op.GREATER_THAN_OR_EQUAL_TO, value=start),
        Filter(field=Field.END_DATE, op=Op.LESS_THAN_OR_EQUAL_TO, value=end),
    ]
    if task_id is not None:
        wanted.append(Filter(field=Field.TASK_ID, value=task_id))
    kind = call.query.one("aggregation") or "sum"
    if kind not in ("sum", "avg", "min", "max"):
        raise Refused(f"'{kind}' is not an aggregation; use sum, avg, min or max.")
    bucket_s, group = next(((s, name) for span, s, name in _BUCKETS if end - start <= span), (2_592_000, "MONTH"))
    found = await call.api.repository.metric_buckets(call.tenant_id, wanted, kind, bucket_s)
    aggregations = [{"name": each.name, "value": each.value, "date": each.date} for each in found]
    return {"groupBy": group, "aggregations": aggregations}


HANDLERS: Final[list[Any]] = [
    execution_metrics,
    flow_metric_names,
    task_metric_names,
    metric_tasks,
    flow_aggregates,
    task_aggregates,
]
