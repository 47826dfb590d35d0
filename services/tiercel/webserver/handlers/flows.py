"""Flows: create, read, update, delete, search, revisions."""

from __future__ import annotations

from typing import Any, Final

from litestar import delete, get, post, put
from litestar.params import FromPath

from tiercel.definitions.base import FlowRow
from tiercel.errors import InvalidFlow, NotFound, Refused
from tiercel.flowspec.document import flow_document, label_list
from tiercel.model.flow import Flow
from tiercel.webserver import deployment
from tiercel.webserver.context import Call
from tiercel.webserver.flowsearch import search
from tiercel.webserver.problem import TooLarge
from tiercel.webserver.request import AnyRequest

SOURCE_MAX: Final = 16 << 20
"""Bytes of a flow's text: more than the characters that the parser takes, most of which have one byte."""


_REVISION_MAX: Final = 2**31 - 1
"""The largest number that a revision can have."""


async def source_of(request: AnyRequest) -> str:
    """Return the body of a request as text; JSON is YAML too."""
    body = await request.body()
    if len(body) > SOURCE_MAX:
        raise TooLarge(f"The flow has {len(body)} bytes; at most {SOURCE_MAX} are taken.")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused("The flow is not UTF-8 text.") from None


def flow_json(flow: Flow, *, source: bool = True) -> dict[str, Any]:
    """Return a flow as the API shows it, with the author's text."""
    data = {"tenantId": flow.tenant_id, **flow_document(flow)}
    if flow.draft:
        data["draft"] = True
    if source:
        data["source"] = flow.source
    return data


def row_json(row: FlowRow) -> dict[str, Any]:
    """Return a stored revision that may not be readable any more, without what is in its text."""
    data: dict[str, Any] = {
        "tenantId": row.tenant_id,
        "id": row.id,
        "namespace": row.namespace,
        "revision": row.revision,
        "disabled": row.disabled,
        "deleted": row.deleted,
        "labels": label_list(row.labels),
        "updated": row.updated_at,
    }
    if row.description is not None:
        data["description"] = row.description
    if row.draft:
        data["draft"] = True
    return data


@post("/api/v1/flows", status_code=200, tags=["Flows"])
async def create_flow(request: AnyRequest) -> dict[str, Any]:
    """Create a flow from its YAML."""
    call = Call(request)
    read = deployment.read_draft if call.query.flag("draft") else deployment.read_new_flow
    flow = read(call, await source_of(request))
    return flow_json(await deployment.create(call.api, flow))


@put("/api/v1/flows/{namespace:str}/{flow_id:str}", status_code=200, tags=["Flows"])
async def update_flow(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Save the next revision of a flow; nothing changes when the text is the same."""
    call = Call(request)
    read = deployment.read_draft if call.query.flag("draft") else deployment.read_new_flow
    flow = read(call, await source_of(request))
    return flow_json(await deployment.update(call.api, namespace, flow_id, flow))


@delete("/api/v1/flows/{namespace:str}/{flow_id:str}", status_code=204, tags=["Flows"])
async def delete_flow(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> None:
    """Delete a flow; its revisions stay readable."""
    call = Call(request)
    await deployment.delete(call.api, call.tenant_id, namespace, flow_id)


@get("/api/v1/flows/{namespace:str}/{flow_id:str}", tags=["Flows"])
async def get_flow(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Return a flow: the last revision, or the one that is asked for; its text only with `source=true`."""
    call = Call(request)
    revision, deleted = call.query.number("revision", least=1), call.query.flag("allowDeleted")
    source = call.query.flag("source")
    try:
        flow = await call.api.definitions.flow(call.tenant_id, namespace, flow_id, revision, deleted=deleted)
    except InvalidFlow as error:
        row = await call.api.definitions.row(call.tenant_id, namespace, flow_id, revision, deleted=deleted)
        assert row is not None, "what cannot be read is there"
        return {**row_json(row), "exception": str(error), **({"source": row.source} if source else {})}
    if flow is None:
        which = f" in revision {revision}" if revision is not None else ""
        raise NotFound(f"Flow '{namespace}.{flow_id}' does not exist{which}.")
    return flow_json(flow, source=source)


@get("/api/v1/flows/{namespace:str}/{flow_id:str}/revisions", tags=["Flows"])
async def flow_revisions(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> list[dict[str, Any]]:
    """Return all revisions of a flow with their texts, oldest first."""
    call = Call(request)
    rows = await call.api.definitions.revisions(call.tenant_id, namespace, flow_id)
    if not rows:
        raise NotFound(f"Flow '{namespace}.{flow_id}' does not exist.")
    deleted = call.query.flag("allowDelete", default=True)
    return [{**row_json(row), "source": row.source} for row in rows if deleted or not row.deleted]


@delete("/api/v1/flows/{namespace:str}/{flow_id:str}/revisions", status_code=200, tags=["Flows"])
async def delete_revisions(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]
) -> dict[str, list[int]]:
    """Delete revisions of a flow for good; the last one stays, and those that are gone are answered."""
    call = Call(request)
    asked = [part.strip() for text in call.query.all("revisions") for part in text.split(",")]
    if not asked:
        raise Refused("Which revisions? Name them in the query: ?revisions=1,2")
    wrong = [part for part in asked if not part.isdecimal() or int(part) > _REVISION_MAX]
    if wrong:
        raise Refused(f"'{wrong[0]}' is no number of a revision; name them in the query: ?revisions=1,2")
    if not await call.api.definitions.revisions(call.tenant_id, namespace, flow_id):
        raise NotFound(f"Flow '{namespace}.{flow_id}' does not exist.")
    numbers = [int(part) for part in asked]
    return {"revisions": await call.api.definitions.forget_revisions(call.tenant_id, namespace, flow_id, numbers)}


@get("/api/v1/flows/search", tags=["Flows"])
async def search_flows(request: AnyRequest) -> dict[str, Any]:
    """Search flows by text, namespace and labels."""
    call = Call(request)
    rows, total = await search(call)
    return {"results": [await _shown(call, row) for row in rows], "total": total}


async def _shown(call: Call, row: FlowRow) -> dict[str, Any]:
    flow = await deployment.readable(call.api, row)
    return {**flow_json(flow, source=False), "updated": row.updated_at} if flow is not None else row_json(row)


@get("/api/v1/flows/{namespace:str}", tags=["Flows"])
async def namespace_flows(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return the flows of one namespace."""
    call = Call(request)
    rows, _ = await call.api.definitions.search(call.tenant_id, namespace=namespace, size=10_000)
    return [await _shown(call, row) for row in rows if row.namespace == namespace]


@get("/api/v1/flows/distinct-namespaces", tags=["Flows"])
async def flow_namespaces(request: AnyRequest) -> list[str]:
    """Return the namespaces that have flows."""
    call = Call(request)
    text = call.query.one("q") or ""
    return [name for name in await call.api.definitions.namespaces(call.tenant_id) if text.lower() in name.lower()]


HANDLERS: Final[list[Any]] = [
    create_flow,
    update_flow,
    delete_flow,
    get_flow,
    flow_revisions,
    delete_revisions,
    search_flows,
    namespace_flows,
    flow_namespaces,
]
