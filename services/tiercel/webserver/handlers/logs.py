"""Log lines: search, by execution, live, as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response, delete, get
from litestar.params import FromPath
from litestar.response import Stream

from tiercel.model.execution import LogEntry
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter
from tiercel.webserver import query
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest

LINES_MAX: Final = 10_000
"""Lines of one answer; a file of all of them is `download`."""
_PIECE: Final = 1000
"""Lines that are read at a time while all are sent."""


def filters_of(call: Call, execution_id: str) -> list[Filter]:
    """Return the filters of a request about one execution's lines."""
    wanted = call.query.filters("LOG", query.LOG_FIELDS, call.api.clock.now())
    return [Filter(field=Field.EXECUTION_ID, value=execution_id), *wanted]


def line_json(line: LogEntry) -> dict[str, Any]:
    """Return a line as the API shows it."""
    data: dict[str, Any] = {
        "tenantId": line.tenant_id,
        "namespace": line.namespace,
        "flowId": line.flow_id,
        "taskId": line.task_id,
        "executionId": line.execution_id,
        "taskRunId": line.task_run_id,
        "attemptNumber": line.attempt_number,
        "triggerId": line.trigger_id,
        "timestamp": line.timestamp,
        "level": line.level,
        "thread": line.thread,
        "message": line.message,
    }
    return {name: value for name, value in data.items() if value is not None}


@get("/api/v1/logs/search", tags=["Logs"])
async def search_logs(request: AnyRequest) -> dict[str, Any]:
    """Search lines of all executions and triggers, the newest first unless sorted."""
    call = Call(request)
    wanted = call.query.filters("LOG", query.LOG_FIELDS, call.api.clock.now())
    found = await call.api.repository.logs(call.tenant_id, wanted, call.query.page())
    data: dict[str, Any] = {"results": [line_json(line) for line in found.results], "total": found.total}
    if found.cursor is not None:
        data["nextCursor"] = found.cursor
    return data


@get("/api/v1/logs/{execution_id:str}", tags=["Logs"])
async def execution_logs(request: AnyRequest, execution_id: FromPath[str]) -> Response[list[dict[str, Any]]]:
    """
    Return the lines of an execution, the oldest first: all of them, but no more than fit into one answer.

    `size` asks for fewer. When there are more, the header `link` names the address of those that follow.
    """
    call = Call(request)
    size = min(call.query.number("size", LINES_MAX, least=1) or LINES_MAX, LINES_MAX)
    page = Page(size=size, cursor=call.query.one("cursor") or None, total=False)
    found = await call.api.repository.logs(call.tenant_id, filters_of(call, execution_id), page)
    headers = {} if found.cursor is None else {"link": _next(request, found.cursor)}
    return Response([line_json(line) for line in found.results], headers=headers)


def _next(request: AnyRequest, cursor: str) -> str:
    scope: Any = request.scope
    kept = [(name, value) for name, value in Call(request).query.pairs if name != "cursor"]
    address = f"{scope.get('tiercel.path', scope['path'])}?{urlencode([*kept, ('cursor', cursor)])}"
    return f'<{address}>; rel="next"'


@delete("/api/v1/logs/{execution_id:str}", status_code=200, tags=["Logs"])
async def delete_execution_logs(request: AnyRequest, execution_id: FromPath[str]) -> None:
    """Delete lines of an execution."""
    call = Call(request)
    await call.api.repository.delete_logs(call.tenant_id, filters_of(call, execution_id))


@delete("/api/v1/logs/{namespace:str}/{flow_id:str}", status_code=200, tags=["Logs"])
async def delete_flow_logs(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> None:
    """Delete lines of a flow (of one trigger of it)."""
    call = Call(request)
    wanted = [Filter(field=Field.NAMESPACE, value=namespace), Filter(field=Field.FLOW_ID, value=flow_id)]
    if trigger_id := call.query.one("triggerId"):
        wanted.append(Filter(field=Field.TRIGGER_ID, value=trigger_id))
    await call.api.repository.delete_logs(call.tenant_id, wanted)


async def all_lines(call: Call, wanted: list[Filter]) -> AsyncIterator[list[LogEntry]]:
    """Yield all lines, some at a time."""
    cursor: str | None = None
    while True:
        page = Page(size=_PIECE, cursor=cursor, total=False)
        found = await call.api.repository.logs(call.tenant_id, wanted, page)
        yield found.results
        cursor = found.cursor
        if cursor is None:
            return


@get("/api/v1/logs/{execution_id:str}/download", tags=["Logs"])
async def download_logs(request: AnyRequest, execution_id: FromPath[str]) -> Stream:
    """Return the lines of an execution as a text file."""
    call = Call(request)
    wanted = filters_of(call, execution_id)

    async def text() -> AsyncIterator[bytes]:
        async for lines in all_lines(call, wanted):
            yield "".join(_text(line) for line in lines).encode()

    headers = {"content-disposition": f'attachment; filename="{quote(execution_id)}.log"'}
    return Stream(text(), media_type="text/plain", headers=headers)


def _text(line: LogEntry) -> str:
    at = msgspec.json.encode(line.timestamp).decode().strip('"')
    return f"{at} {line.level} {line.message}\n"


HANDLERS: Final[list[Any]] = [
    search_logs,
    execution_logs,
    delete_execution_logs,
    delete_flow_logs,
    download_logs,
]
