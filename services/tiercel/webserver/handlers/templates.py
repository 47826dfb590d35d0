"""Templates of the 1.x dialect: tasks that flows share by naming them."""

from __future__ import annotations

from typing import Any, Final

from litestar import delete, get, post, put
from litestar.params import FromPath

from tiercel.errors import Conflict, NotFound, Refused
from tiercel.flowspec.template import place_of, read_template
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.flows import source_of
from tiercel.webserver.request import AnyRequest

_BASE: Final = "/api/v1/templates"
_ONE: Final = f"{_BASE}/{{namespace:str}}/{{template_id:str}}"


async def _stored(call: Call, namespace: str, template_id: str) -> dict[str, Any] | None:
    try:
        content = await call.api.storage.read(call.tenant_id, place_of(namespace, template_id))
    except NotFound:
        return None
    return read_template(content.decode())


async def _save(call: Call, source: str, template: dict[str, Any]) -> dict[str, Any]:
    place = place_of(template["namespace"], template["id"])
    await call.api.storage.put(call.tenant_id, place, source.encode())
    return template


@post(_BASE, status_code=200, tags=["Templates"], deprecated=True)
async def create_template(request: AnyRequest) -> dict[str, Any]:
    """Store a new template."""
    call = Call(request)
    source = await source_of(request)
    template = read_template(source)
    if await _stored(call, template["namespace"], template["id"]) is not None:
        raise Conflict(f"Template '{template['namespace']}.{template['id']}' exists already; update it instead.")
    return await _save(call, source, template)


@put(_ONE, status_code=200, tags=["Templates"], deprecated=True)
async def update_template(request: AnyRequest, namespace: FromPath[str], template_id: FromPath[str]) -> dict[str, Any]:
    """Change a template; executions that begin from now on see the change."""
    call = Call(request)
    source = await source_of(request)
    template = read_template(source)
    if (template["namespace"], template["id"]) != (namespace, template_id):
        raise Refused(f"The template is '{template['namespace']}.{template['id']}'; namespace and id never change.")
    if await _stored(call, namespace, template_id) is None:
        raise NotFound(f"Template '{namespace}.{template_id}' does not exist.")
    return await _save(call, source, template)


@get(_ONE, tags=["Templates"], deprecated=True)
async def read_one(request: AnyRequest, namespace: FromPath[str], template_id: FromPath[str]) -> dict[str, Any]:
    """Return a template."""
    found = await _stored(Call(request), namespace, template_id)
    if found is None:
        raise NotFound(f"Template '{namespace}.{template_id}' does not exist.")
    return found


@delete(_ONE, status_code=204, tags=["Templates"], deprecated=True)
async def delete_template(request: AnyRequest, namespace: FromPath[str], template_id: FromPath[str]) -> None:
    """Delete a template; flows that name it fail at their next execution."""
    call = Call(request)
    if not await call.api.storage.delete(call.tenant_id, place_of(namespace, template_id)):
        raise NotFound(f"Template '{namespace}.{template_id}' does not exist.")


HANDLERS: Final[list[Any]] = [create_template, update_template, read_one, delete_template]
