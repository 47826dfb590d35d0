"""What there is to write in a flow: types, their documentation, and JSON schemas, as editors ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from tiercel.errors import NotFound
from tiercel.flowspec.schema import generate
from tiercel.flowspec.schema.annotationschema import Schema
from tiercel.model.input import InputType
from tiercel.model.task import Condition, Task, Trigger
from tiercel.plugins.base import TaskRunner
from tiercel.runtime import version
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest

JSON: Final = "application/json"
_SCHEMAS_KEPT: Final = 32
"""Encoded schemas: one per kind, with and without `arrayOf`; there are few kinds."""
_LISTS: Final[Mapping[str, type[Any]]] = {
    "tasks": Task,
    "triggers": Trigger,
    "conditions": Condition,
    "taskRunners": TaskRunner,
}


@lru_cache(maxsize=_SCHEMAS_KEPT)
def encoded_schema(kind: str, array: bool) -> bytes:
    """Return the schema of a kind of document; it is made once, types do not change while a process runs."""
    return msgspec.json.encode(generate.schema_of(kind, array=array))


@get("/api/v1/plugins/schemas/{kind:str}", tags=["Plugins"])
async def schema(request: AnyRequest, kind: FromPath[str]) -> Response[bytes]:
    """Return the JSON schema of flows, tasks, triggers, …; with `arrayOf` that of a list of them."""
    return Response(content=encoded_schema(kind.lower(), Call(request).query.flag("arrayOf")), media_type=JSON)


@get("/api/v1/plugins", tags=["Plugins"])
async def plugins(request: AnyRequest) -> Any:
    """List all types by group, the name of a type without its last word; a page of them when one is asked for."""
    call, found = Call(request), _groups()
    if call.query.one("page") is None and call.query.one("size") is None:
        return found
    page = call.query.page()
    return {"results": found[(page.number - 1) * page.size : page.number * page.size], "total": len(found)}


@get("/api/v1/plugins/groups/subgroups", tags=["Plugins"])
async def subgroups() -> list[dict[str, Any]]:
    """List all types by group."""
    return _groups()


@get("/api/v1/plugins/triggers", tags=["Plugins"])
async def triggers() -> dict[str, Any]:
    """List the types of triggers."""
    found = [{"cls": name, "deprecated": bool(cls.DEPRECATED)} for name, cls in generate.author_types(Trigger)]
    return {"results": found, "total": len(found)}


@get(["/api/v1/plugins/icons", "/api/v1/plugins/icons/groups"], tags=["Plugins"])
async def icons() -> dict[str, Any]:
    """Return the icons of types: there are none."""
    return {}


def _groups() -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for name, base in _LISTS.items():
        for each, cls in generate.author_types(base):
            group = each.rpartition(".")[0]
            empty = {"name": group.rpartition(".")[2], "title": group.rpartition(".")[2], "group": group}
            entry = groups.setdefault(group, {**empty, "version": version.tiercel(), **{kind: [] for kind in _LISTS}})
            entry[name].append({"cls": each, "deprecated": bool(cls.DEPRECATED)})
    return [groups[group] for group in sorted(groups)]


@get("/api/v1/plugins/inputs", tags=["Plugins"])
async def inputs() -> list[dict[str, str]]:
    """List the types of inputs."""
    return [{"type": each.value, "cls": each.value} for each in InputType]


@get("/api/v1/plugins/inputs/{kind:str}", tags=["Plugins"])
async def input_type(kind: FromPath[str]) -> dict[str, Any]:
    """Return the documentation of a type of inputs."""
    if kind not in InputType.__members__:
        raise NotFound(f"'{kind}' is not a type of inputs; there are {', '.join(InputType)}.")
    return {"markdown": f"# {kind}\n", "schema": {"properties": generate.schema_of_struct("input")}}


@get("/api/v1/plugins/properties/{kind:str}", tags=["Plugins"])
async def properties(kind: FromPath[str]) -> dict[str, Any]:
    """Return the properties of flows, tasks, … and their schemas."""
    whole = generate.schema_of_struct(kind)
    found: dict[str, Any] = whole["properties"]
    return found


@get("/api/v1/plugins/{name:str}", tags=["Plugins"])
async def documented(name: FromPath[str]) -> dict[str, Any]:
    """Return the documentation and the schema of one type."""
    own = generate.schema_of_type(name)
    return {"markdown": markdown(name, own), "schema": {"properties": own, "outputs": {}, "definitions": {}}}


def markdown(name: str, schema: Schema) -> str:
    """Write what a type's schema says as a page."""
    lines = [f"# {name}", "", schema["title"], ""]
    if schema.get("description"):
        lines += [schema["description"], ""]
    lines += ["| property | |", "| --- | --- |"]
    needed = schema.get("required", ())
    for each, part in schema["properties"].items():
        said = part.get("description", "").replace("|", "\\|")
        lines.append(f"| `{each}`{' (required)' if each in needed else ''} | {said} |")
    return "\n".join(lines) + "\n"


HANDLERS: Final[list[Any]] = [schema, plugins, subgroups, triggers, icons, inputs, input_type, properties, documented]
