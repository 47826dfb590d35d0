"""Reading executions: one, lists, the flow of one, and deleting."""

from __future__ import annotations

from typing import Any, Final

from litestar import get
from litestar.params import FromPath

from tiercel.model.execution_json import execution_json
from tiercel.repository.filter import Field, Filter
from tiercel.webserver import query
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest


@get("/api/v1/executions/search", tags=["Executions"])
async def search_executions(request: AnyRequest) -> dict[str, Any]:
    """Search executions: filters, page, size, sort."""
    return await search(Call(request))


@get("/api/v1/executions", tags=["Executions"])
async def list_executions(request: AnyRequest) -> dict[str, Any]:
    """List the executions of one flow."""
    call = Call(request)
    namespace, flow_id = call.query.required("namespace"), call.query.required("flowId")
    filters = (Filter(field=Field.NAMESPACE, value=namespace), Filter(field=Field.FLOW_ID, value=flow_id))
    return await search(call, filters)


async def search(call: Call, filters: tuple[Filter, ...] | None = None) -> dict[str, Any]:
    """Answer a search."""
    now = call.api.clock.now()
    wanted = filters
    if wanted is None:
        wanted = tuple(call.query.filters("EXECUTION", query.EXECUTION_FIELDS, now))
    found = await call.api.repository.search(call.tenant_id, wanted, call.query.page())
    data: dict[str, Any] = {
        "results": [execution_json(execution, now=now) for execution in found.results],
        "total": found.total,
    }
    if found.cursor is not None:
        data["nextCursor"] = found.cursor
    return data


@get("/api/v1/executions/{execution_id:str}", tags=["Executions"])
async def get_execution(request: AnyRequest, execution_id: FromPath[str]) -> dict[str, Any]:
    """Return an execution with its task runs, as it is now."""
    call = Call(request)
    view = await call.api.reader.next_view(call.tenant_id, execution_id)
    return await view.shown(call.api.clock)


HANDLERS: Final[list[Any]] = [search_executions, list_executions, get_execution]
