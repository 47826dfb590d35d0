"""What is there before the first run of a case of `tasks.yaml`: files, keys, namespaces."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from amazon.ion import simpleion

from tests.conformance.steps_store import file_content
from tests.conformance.values import duration, instant
from tiercel.flowspec.parse import parse_flow
from tiercel.storage import uris
from tiercel.storage.namespace_files import NamespaceFolder

if TYPE_CHECKING:
    from tests.conformance.tasks import Place

Setup = Callable[["Place", Any], Awaitable[None]]
SETUPS: dict[str, Setup] = {}


def _setup(name: str) -> Callable[[Setup], Setup]:
    def decorate(function: Setup) -> Setup:
        SETUPS[name] = function
        return function

    return decorate


def ion(rows: list[Any], *, binary: bool) -> bytes:
    """Return rows as an ION file."""
    if binary:
        return bytes(simpleion.dumps(rows, binary=True, sequence_as_stream=True))
    return "".join(f"{simpleion.dumps(row, binary=False, omit_version_marker=True)}\n" for row in rows).encode()


@_setup("put_file")
async def put_file(place: Place, body: dict[str, Any]) -> None:
    """Put a file into internal storage."""
    if "ion_rows" in body:
        content = ion(body["ion_rows"], binary=bool(body.get("binary")))
    else:
        content = file_content(body, place.folder.path)
    uri = await place.storage.put(place.tenant, f"kestra://{body['path']}", content)
    place.names.aliases[body.get("as", "file")] = {"uri": uri}


@_setup("working_dir_file")
async def working_dir_file(place: Place, body: dict[str, Any]) -> None:
    """Put a file into the working directory."""
    path = place.working_dir / body["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body["content"], "utf-8")


@_setup("local_file")
async def local_file(place: Place, body: dict[str, Any]) -> None:
    """Put a file on the disk of the engine."""
    path = Path(body["path"])
    path.write_text(body["content"], "utf-8")  # noqa: ASYNC240 (nothing else runs meanwhile)
    place.names.aliases[body["as"]] = {"uri": f"file://{path}"}


@_setup("task_storage_file")
async def task_storage_file(place: Place, body: dict[str, Any]) -> None:
    """Put a file into the folder of the task run in internal storage."""
    path = uris.task("namespace", "flowId", "executionId", "taskId", "taskRunId")
    await place.storage.put(place.tenant, f"{path}/{body['name']}", body["content"].encode())


@_setup("random_namespace")
async def random_namespace(place: Place, body: dict[str, Any]) -> None:
    """Name a namespace that nothing else uses."""
    place.names.aliases[body["as"]] = f"{body.get('prefix', '')}n{secrets.token_hex(6)}"


@_setup("set_kv")
async def set_kv(place: Place, body: dict[str, Any]) -> None:
    """Set a key-value pair."""
    ttl: timedelta | None = duration(body["ttl"]) if body.get("ttl") else None
    await place.keys.put(body["namespace"], body["key"], body["value"], ttl=ttl, description=body.get("description"))


@_setup("put_namespace_file")
async def put_namespace_file(place: Place, body: dict[str, Any]) -> None:
    """Put a file into a namespace."""
    await NamespaceFolder(place.storage, place.tenant, body["namespace"]).put(body["path"], body["content"].encode())


@_setup("execution_file")
async def execution_file(place: Place, body: dict[str, Any]) -> None:
    """Put a file of an execution into internal storage, maybe with a date of its own."""
    execution = body.get("execution") or secrets.token_hex(8)
    path = uris.execution(body["namespace"], body["flowId"], execution) + body["path"]
    uri = await place.storage.put(place.tenant, path, body["content"].encode())
    place.names.aliases[body["as"]] = {"uri": uri}
    if "modified" in body:
        at = body["modified"]
        moment = (instant(at) if isinstance(at, str) else at).timestamp()
        file = place.base / "storage" / place.tenant / uris.path_of(uri).lstrip("/")
        os.utime(file, (moment, moment))


@_setup("instant")
async def remember_instant(place: Place, name: str) -> None:
    """Remember the present."""
    place.names.aliases[name] = place.now().isoformat()


@_setup("deploy_flow")
async def deploy_flow(place: Place, body: dict[str, Any]) -> None:
    """Store a flow; tasks ask the API which namespaces have some."""
    await place.definitions.create(parse_flow(yaml.safe_dump(body, sort_keys=False)))


@_setup("delete_flow")
async def delete_flow(place: Place, body: dict[str, Any]) -> None:
    """Delete a flow."""
    await place.definitions.delete(place.tenant, body["namespace"], body["id"])


@_setup("delete_all_flows")
async def delete_all_flows(place: Place, body: Any) -> None:
    """Do nothing: each case begins with none."""
