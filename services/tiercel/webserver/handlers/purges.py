"""
What the tasks Count, PurgeExecutions and PurgeLogs ask for: a part of the work at a time, with what it has done.

Kestra's API has nothing like it: there these tasks reach the database. A request does at most `size` things, so that
none lasts long; the answer says where to go on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from litestar import post

from tiercel.errors import Refused
from tiercel.model.execution import Execution
from tiercel.model.state import State
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter, Op, level_rank
from tiercel.storage import uris
from tiercel.webserver import command, query
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest, json_of

LINES_MAX: Final = 50_000
"""Log lines that one request deletes."""
FLOWS_MAX: Final = 1000
"""Flows that one request counts executions of."""


class Scope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which flows and which time: a flow, a namespace and those below it, or all."""

    namespace: str | None = None
    flow_id: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None

    def filters(self) -> list[Filter]:
        """Return the filters of the scope."""
        filters = []
        if self.flow_id is not None and self.namespace is None:
            raise Refused("The 'flowId' needs a 'namespace': flows of different namespaces may have the same id.")
        if self.namespace is not None:
            op = Op.PREFIX if self.flow_id is None else Op.EQUALS
            filters.append(Filter(field=Field.NAMESPACE, op=op, value=self.namespace))
        if self.flow_id is not None:
            filters.append(Filter(field=Field.FLOW_ID, value=self.flow_id))
        if self.start_date is not None:
            filters.append(_since(self.start_date))
        if self.end_date is not None:
            filters.append(_until(Field.END_DATE, self.end_date))
        return filters


def _since(at: datetime) -> Filter:
    return Filter(field=Field.START_DATE, op=Op.GREATER_THAN_OR_EQUAL_TO, value=_aware(at))


def _until(field: Field, at: datetime) -> Filter:
    return Filter(field=field, op=Op.LESS_THAN_OR_EQUAL_TO, value=_aware(at))


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


class ExecutionPurge(Scope, frozen=True, kw_only=True):
    """Which executions that have ended are deleted, and what of them; `cursor` goes on where an answer has ended."""

    states: tuple[State, ...] | None = None
    purge_execution: bool = True
    purge_log: bool = True
    purge_metric: bool = True
    purge_storage: bool = True
    size: int = 100
    cursor: str | None = None


class LogPurge(Scope, frozen=True, kw_only=True):
    """Which log lines are deleted: those of executions, or those of nothing but triggers."""

    of_executions: bool
    execution_id: str | None = None
    log_levels: tuple[str, ...] | None = None
    size: int = LINES_MAX


class FlowName(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A flow."""

    namespace: str
    flow_id: str


class Counting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which executions are counted: of flows, or of whole namespaces, each on its own."""

    flows: tuple[FlowName, ...] = ()
    namespaces: tuple[str, ...] = ()
    states: tuple[State, ...] | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None


@post("/api/v1/executions/purge", status_code=200, tags=["Executions"])
async def purge_executions(request: AnyRequest) -> dict[str, Any]:
    """Delete executions that have ended, with their logs, metrics and files; return how many of each."""
    call = Call(request)
    wanted = await json_of(request, ExecutionPurge)
    filters = [*wanted.filters(), Filter(field=Field.STATE, op=Op.IN, value=_ended(wanted.states))]
    # What LOOP executions have is a part of the execution that they are iterations of.
    page = Page(size=max(1, min(wanted.size, query.SIZE_MAX)), cursor=wanted.cursor, total=False)
    found = await call.api.repository.search(call.tenant_id, filters, page)
    named = [execution.id for execution in found.results]
    belongings = await call.api.repository.belongings(call.tenant_id, named)
    files = 0
    for execution in found.results if wanted.purge_storage else ():
        files += await _delete_files(call, execution)
    if wanted.purge_execution and named:
        deletion = command.delete(logs=wanted.purge_log, metrics=wanted.purge_metric)
        await command.send(call.api, *(deletion.event(call.api, execution) for execution in found.results))
    elif named:
        if wanted.purge_log:
            await call.api.repository.delete_logs(call.tenant_id, [_of(named)])
        if wanted.purge_metric:
            await call.api.repository.delete_metrics(call.tenant_id, [_of(named)])
    answer = {
        "executionsCount": len(named) if wanted.purge_execution else 0,
        "logsCount": belongings.logs if wanted.purge_log else 0,
        "metricsCount": belongings.metrics if wanted.purge_metric else 0,
        "taskOutputsCount": belongings.outputs if wanted.purge_execution else 0,
        "storagesCount": files,
    }
    return answer if found.cursor is None else {**answer, "nextCursor": found.cursor}


def _ended(states: tuple[State, ...] | None) -> tuple[str, ...]:
    """Return the states that may be purged: an execution that runs is never taken from its executor."""
    wanted = tuple(State) if states is None else states
    return tuple(state.value for state in wanted if state.is_terminated)


def _of(execution_ids: list[str]) -> Filter:
    return Filter(field=Field.EXECUTION_ID, op=Op.IN, value=tuple(execution_ids))


async def _delete_files(call: Call, execution: Execution) -> int:
    folder = uris.execution(execution.namespace, execution.flow_id, execution.id)
    return len(await call.api.storage.delete_by_prefix(execution.tenant_id, folder))


@post("/api/v1/logs/purge", status_code=200, tags=["Logs"])
async def purge_logs(request: AnyRequest) -> dict[str, int]:
    """Delete the oldest `size` log lines of those that are meant; return how many they were."""
    call = Call(request)
    wanted = await json_of(request, LogPurge)
    filters = wanted.filters()
    if wanted.log_levels is not None:
        levels = tuple(level.upper() for level in wanted.log_levels)
        for level in levels:
            level_rank(level)
        filters.append(Filter(field=Field.MIN_LEVEL, op=Op.IN, value=levels))
    op = Op.NOT_EQUALS if wanted.of_executions else Op.EQUALS
    filters.append(Filter(field=Field.EXECUTION_ID, op=op, value=None))
    if wanted.execution_id is not None:
        filters.append(Filter(field=Field.EXECUTION_ID, value=wanted.execution_id))
    size = max(1, min(wanted.size, LINES_MAX))
    return {"count": await call.api.repository.delete_logs(call.tenant_id, filters, size)}


@post("/api/v1/executions/count", status_code=200, tags=["Executions"])
async def count_executions(request: AnyRequest) -> dict[str, Any]:
    """Count executions that began in a time, by flow or by namespace."""
    call = Call(request)
    wanted = await json_of(request, Counting)
    if wanted.start_date is None:
        raise Refused("The 'startDate' must be set: counting all executions that ever were would read all history.")
    if len(wanted.flows) + len(wanted.namespaces) > FLOWS_MAX:
        raise Refused(f"Executions of at most {FLOWS_MAX} flows are counted at a time.")
    named: list[tuple[str, str | None]] = [(flow.namespace, flow.flow_id) for flow in wanted.flows]
    named += [(namespace, None) for namespace in wanted.namespaces]
    times = [_since(wanted.start_date)]
    if wanted.end_date is not None:
        times.append(_until(Field.START_DATE, wanted.end_date))
    results = [await _counted(call, wanted, times, namespace, flow_id) for namespace, flow_id in named]
    return {"results": results, "total": sum(result["count"] for result in results)}


async def _counted(
    call: Call, wanted: Counting, times: list[Filter], namespace: str, flow_id: str | None
) -> dict[str, Any]:
    filters = [Filter(field=Field.NAMESPACE, value=namespace), *times]
    if flow_id is not None:
        filters.append(Filter(field=Field.FLOW_ID, value=flow_id))
    if wanted.states:
        filters.append(Filter(field=Field.STATE, op=Op.IN, value=tuple(state.value for state in wanted.states)))
    count = await call.api.repository.count(call.tenant_id, filters)
    return {"namespace": namespace, **({} if flow_id is None else {"flowId": flow_id}), "count": count}


HANDLERS: Final[list[Any]] = [purge_executions, purge_logs, count_executions]
