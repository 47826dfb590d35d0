"""Namespaces: the list of those that have flows, and what they can use."""

from __future__ import annotations

from typing import Any, Final

from litestar import get, post
from litestar.params import FromPath

from tiercel.model.system import SYSTEM_NAMESPACE
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.keyvalues import with_parents
from tiercel.webserver.request import AnyRequest, json_of

_BASE: Final = "/api/v1/namespaces"


@get(f"{_BASE}/search", tags=["Namespaces"])
async def search_namespaces(request: AnyRequest) -> dict[str, Any]:
    """Search the namespaces that have flows, those above them, and that of the system, which is always there."""
    call = Call(request)
    text = (call.query.one("q") or call.query.one("filters[q][EQUALS]") or "").lower()
    names = sorted({SYSTEM_NAMESPACE, *await with_parents(call)})
    names = [name for name in names if text in name.lower()]
    page = call.query.page()
    if page.sort and page.sort[0].descending:
        names.reverse()
    part = names[(page.number - 1) * page.size : page.number * page.size]
    return {"results": [{"id": name} for name in part], "total": len(names)}


@post(f"{_BASE}/autocomplete", status_code=200, tags=["Namespaces"])
async def autocomplete(request: AnyRequest) -> list[str]:
    """Return the namespaces that begin with, or hold, a text."""
    call = Call(request)
    body = await json_of(request)
    text = str(body.get("q") or "").lower() if isinstance(body, dict) else ""
    return [name for name in await with_parents(call) if text in name.lower()]


@get(f"{_BASE}/{{namespace:str}}", tags=["Namespaces"])
async def get_namespace(namespace: FromPath[str]) -> dict[str, Any]:
    """Return a namespace: any name is one."""
    return {"id": namespace, "deleted": False}


@get(_BASE, tags=["Namespaces"])
async def list_namespaces(request: AnyRequest) -> list[str]:
    """Return the namespaces that have flows."""
    call = Call(request)
    return await call.api.definitions.namespaces(call.tenant_id)


@get(f"{_BASE}/{{namespace:str}}/inherited-secrets", tags=["Namespaces"])
async def inherited_secrets(request: AnyRequest, namespace: FromPath[str]) -> dict[str, list[str]]:
    """Return the names of the secrets that a namespace can use."""
    call = Call(request)
    return {namespace: call.api.secrets.names(call.tenant_id, namespace)}


@get(f"{_BASE}/{{namespace:str}}/secrets", tags=["Namespaces"])
async def namespace_secrets(request: AnyRequest, namespace: FromPath[str]) -> dict[str, Any]:
    """Return the names of the secrets that a namespace can use."""
    call = Call(request)
    names = call.api.secrets.names(call.tenant_id, namespace)
    return {"readOnly": True, "results": [{"key": name} for name in names], "total": len(names)}


HANDLERS: Final[list[Any]] = [
    search_namespaces,
    autocomplete,
    get_namespace,
    list_namespaces,
    inherited_secrets,
    namespace_secrets,
]
