"""Steps that put things where flows find them: files, key-values, logs, new revisions of flows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.conformance.matchers import match
from tests.conformance.problems import check_error, check_status
from tests.conformance.result import LeftOut, Mismatch
from tests.conformance.submission import render_expression
from tests.conformance.values import instant, plain
from tests.conformance.waiting import eventually
from tests.conformance.world import World, verb
from tiercel.errors import TiercelError
from tiercel.messages.history import LogBatch
from tiercel.messages.topics import HISTORY
from tiercel.model.execution import LogEntry
from tiercel.queue.base import Outgoing
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter


async def deploy(world: World, source: str) -> None:
    """Deploy a flow's text as its next revision."""
    headers = {"content-type": "application/x-yaml"}
    response = await world.engine.http.post("/api/v1/main/flows", content=source.encode(), headers=headers)
    if (response.status_code == 422 and "already exists" in response.text) or response.status_code == 409:
        data = yaml.safe_load(source)
        path = f"/api/v1/main/flows/{data['namespace']}/{data['id']}"
        response = await world.engine.http.put(path, content=source.encode(), headers=headers)
    check_status(response, "ok")


@verb("update_flow")
async def update_flow(world: World, body: dict[str, Any]) -> None:
    """Deploy a new revision: a new text, or the old one with a task replaced."""
    namespace, _, flow_id = str(body["flow"]).partition("/")
    if "source_file" in body:
        source = world.folder.text(body["source_file"])
    else:
        row = await world.engine.definitions.row(world.engine.tenant, namespace, flow_id)
        assert row is not None
        data = yaml.safe_load(row.source)
        task = body["replace_task"]
        data["tasks"] = [task if one["id"] == task["id"] else one for one in data["tasks"]]
        source = yaml.safe_dump(data, sort_keys=False)
    path = f"/api/v1/main/flows/{namespace}/{flow_id}"
    headers = {"content-type": "application/x-yaml"}
    response = await world.engine.http.put(path, content=source.encode(), headers=headers)
    check_status(response, "ok")
    revision = response.json()["revision"]
    if body.get("expect_revision", revision) != revision:
        raise Mismatch(f"The flow's revision is {revision}, expected {body['expect_revision']}")

    async def follows() -> None:
        found = await world.engine.flow(namespace, flow_id)
        if (found.revision or 0) < revision:
            raise Mismatch(f"The flow is still read in revision {found.revision}, expected {revision}")

    await eventually(world.engine, follows)  # the runner is a process of its own, which hears of it a moment later
    world.remember(body.get("as"), {"revision": revision})


@verb("put_file")
async def put_file(world: World, body: dict[str, Any]) -> None:
    """Put a file into internal storage."""
    content = file_content(body, world.folder.path)
    uri = await world.engine.storage.put(world.engine.tenant, f"kestra://{body['path']}", content)
    world.remember(body.get("as"), {"uri": uri})


def file_content(body: dict[str, Any], folder: Path) -> bytes:
    """Return the content that a `put_file` describes."""
    if "lines" in body:
        first, last = body["lines"]["range"]
        width = int(body["lines"].get("left_pad", 0))
        return "".join(f"{number:>{width}}\n" for number in range(first, last)).encode()
    if "local" in body:
        return (folder / body["local"]).read_bytes()
    content: Any = body.get("content", "")
    return bytes(content) if isinstance(content, bytes) else str(content).encode()


@verb("put_local_file")
async def put_local_file(world: World, body: dict[str, Any]) -> None:
    """Put a file on the disk of the engine."""
    folder = world.engine.scratch / "local"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / body["name"]
    path.write_text(body["content"], "utf-8")
    world.remember(body.get("as"), {"uri": f"file://{path}", "path": str(path)})


@verb("put_namespace_file")
async def put_namespace_file(world: World, body: dict[str, Any]) -> None:
    """Put a file into a namespace."""
    name = Path(body["path"]).name
    response = await world.engine.http.post(
        f"/api/v1/main/namespaces/{body['namespace']}/files",
        params={"path": "/" + body["path"].lstrip("/")},
        files={"fileContent": (name, body["content"].encode())},
    )
    check_status(response, "ok")


@verb("set_kv")
async def set_kv(world: World, body: dict[str, Any]) -> None:
    """Set a key-value pair of a namespace."""
    content = msgspec.json.encode(plain(body["value"]))
    response = await world.engine.http.put(
        f"/api/v1/main/namespaces/{body['namespace']}/kv/{body['key']}",
        content=content,
        headers={"content-type": "application/json"},
    )
    check_status(response, "ok")


@verb("clear_kv")
async def clear_kv(world: World, body: dict[str, Any]) -> None:
    """Delete every key-value pair of a namespace."""
    folder = "/".join(body["namespace"].split("."))
    await world.engine.storage.delete(world.engine.tenant, f"kestra:///{folder}/_kv")


@verb("delete_cache_file")
async def delete_cache_file(world: World, body: dict[str, Any]) -> None:
    """Delete the cache of a WorkingDirectory."""
    folder = "/".join(body["namespace"].split("."))
    task = body["task"].lower()
    await world.engine.storage.delete(world.engine.tenant, f"kestra:///{folder}/{body['flow']}/{task}/cache/cache.zip")


@verb("expect_file")
async def expect_file(world: World, body: dict[str, Any]) -> None:
    """Look whether internal storage has a file."""
    there = await world.engine.storage.exists(world.engine.tenant, f"kestra://{body['path']}")
    if there != bool(body.get("exists", True)):
        raise Mismatch(f"The file {body['path']} is {'there' if there else 'not there'}")


@verb("create_template")
async def create_template(world: World, body: dict[str, Any]) -> None:
    """Store a template."""
    check_status(await world.engine.http.post("/api/v1/main/templates", json=body), "ok")


@verb("put_log")
async def put_log(world: World, body: dict[str, Any]) -> None:
    """Write a line of log as a worker does."""
    engine = world.engine
    at = body.get("timestamp")
    entry = LogEntry(
        tenant_id=engine.tenant,
        namespace=body["namespace"],
        flow_id=body["flow"],
        level=body["level"],
        message=body["message"],
        timestamp=instant(at) if isinstance(at, str) else at or engine.now(),
        execution_id=body.get("execution"),
        trigger_id=body.get("trigger"),
    )
    name = world.names.random_id("log producer")
    number = world.names.aliases.setdefault("$log_number", [0])
    number[0] += 1
    batch = LogBatch(producer=name, sequence=number[0], entries=(entry,))
    await engine.queue.emit(Outgoing(topic=HISTORY, key=body.get("execution") or name, message=batch))
    await _until_written(world, entry)


async def _until_written(world: World, entry: LogEntry) -> None:
    async def check() -> None:
        filters = [Filter(field=Field.NAMESPACE, value=entry.namespace)]
        found = await world.engine.repository.logs(world.engine.tenant, filters, Page(size=1000, total=False))
        if not any(one.message == entry.message for one in found.results):
            raise Mismatch(f"The log line '{entry.message}' was not written down.")

    await eventually(world.engine, check)


@verb("render")
async def render(world: World, body: dict[str, Any]) -> None:
    """Render an expression outside an execution, as a worker does."""
    error = body.get("error")
    try:
        found = await render_expression(world.engine, body["expression"], body.get("variables") or {})
    except TiercelError as problem:
        if error is None:
            raise Mismatch(f"The expression cannot be rendered: {problem}") from problem
        check_error(problem, error)
        return
    if error is not None:
        raise Mismatch(f"The expression is {found!r}, expected an error {error}")
    await match(found, body.get("result"), world, "result")


@verb("evaluate_trigger")
async def evaluate_trigger(world: World, body: dict[str, Any]) -> None:
    """Evaluate a trigger once."""
    raise LeftOut("A trigger is evaluated by a worker for the scheduler only; schedule.yaml tries it.")
