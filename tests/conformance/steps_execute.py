"""Steps that start executions: as a test harness does (straight to the queue), or through the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conformance.problems import check_answer, check_error
from tests.conformance.result import LeftOut, Mismatch
from tests.conformance.snapshot import Snapshot
from tests.conformance.submission import typed_inputs
from tests.conformance.values import Upload, instant, plain
from tests.conformance.world import VERBS, World, verb
from tiercel.errors import TiercelError
from tiercel.messages.execution_event import CreateExecution
from tiercel.model.execution import ExecutionKind, TaskFixture
from tiercel.model.flow import Flow
from tiercel.model.ids import new_id
from tiercel.model.state import State


@verb("execute")
async def execute(world: World, body: dict[str, Any]) -> None:
    """Start an execution and wait for what the step says."""
    error = body.get("error")
    try:
        execution_id = await (_by_api(world, body) if body.get("via") == "http" else _by_queue(world, body))
    except TiercelError as problem:
        if error is None:
            raise Mismatch(f"The execution was refused: {problem}") from problem
        check_error(problem, error)
        return
    if error is not None:
        if body.get("via") == "http":
            return  # the answer has been compared with the error
        if error.get("kind") == "message_too_big":
            found = await world.wait_ended(execution_id, body.get("timeout"))
            raise Mismatch(f"The execution was not refused: {found.summary()}")
        raise Mismatch("The execution was not refused.")
    if execution_id and not body.get("unchecked"):
        await wait_and_remember(world, body, execution_id)


async def wait_and_remember(world: World, body: Mapping[str, Any], execution_id: str) -> None:
    """Wait for what `until` says, and give the execution its alias."""
    name = body.get("as", "e")
    found = await _awaited(world, execution_id, body.get("until", "terminated"), body.get("timeout"))
    if found is not None:
        world.remember(name, found)
        world.returned[name] = found


async def _awaited(world: World, execution_id: str, until: Any, timeout: str | None) -> Snapshot | None:
    if isinstance(until, dict):
        task, state = until.get("task"), until.get("task_state")
        return await world.wait_for(
            execution_id, lambda one: _task_is(one, task, state), f"task '{task}' to be {state}", timeout
        )
    match until:
        case "terminated":
            return await world.wait_ended(execution_id, timeout)
        case "paused":
            return await world.wait_for(execution_id, _is_paused, "a pause", timeout)
        case "running":
            return await world.wait_for(execution_id, _is_running, "a running task", timeout)
        case "created" | "none":
            return await world.wait_for(execution_id, lambda one: True, "its creation", timeout)
        case "queued":
            return await world.wait_for(execution_id, lambda one: one.state == "QUEUED", "state QUEUED", timeout)
        case str() if until.upper() in State.__members__:
            wanted = until.upper()
            return await world.wait_for(execution_id, lambda one: one.state == wanted, f"state {wanted}", timeout)
        case _:
            raise LeftOut(f"the runner does not know how to wait until '{until}'")


def _is_paused(one: Snapshot) -> bool:
    return one.state == "PAUSED" and any(run.state == "PAUSED" for run in one.runs)


def _is_running(one: Snapshot) -> bool:
    return one.state == "RUNNING" and any(run.state == "RUNNING" for run in one.runs)


def _task_is(one: Snapshot, task: str | None, state: str | None) -> bool:
    wanted = state or "RUNNING"
    return any(run.state == wanted and task in (None, run.run.task_id) for run in one.runs)


async def _by_queue(world: World, body: Mapping[str, Any]) -> str:
    engine = world.engine
    namespace, _, flow_id = str(body["flow"]).partition("/")
    execution_id = str(body.get("id") or new_id())
    if body.get("unchecked"):
        revision, flow = 1, None
    else:
        flow = await engine.flow(namespace, flow_id, body.get("revision"))
        revision = flow.revision or 1
    inputs = await _inputs(world, body, flow, execution_id) if flow is not None else None
    if body.get("skip"):
        await VERBS["ignore"](world, {"executions": [execution_id]})
    await engine.emit(
        CreateExecution(
            execution_id=execution_id,
            at=engine.now(),
            tenant_id=engine.tenant,
            namespace=namespace,
            flow_id=flow_id,
            flow_revision=revision,
            inputs=inputs,
            labels=_labels(flow, body, execution_id),
            schedule_date=_date(body.get("schedule_date")) or _never(body),
            kind=ExecutionKind(body.get("kind", "NORMAL")),
            **_fixtures(body),
        )
    )
    return execution_id


def _never(body: Mapping[str, Any]) -> datetime | None:
    """Return a date far away for an execution that is to stay CREATED: the Java tests store one that nobody runs."""
    return datetime(9999, 1, 1, tzinfo=UTC) if body.get("until") == "created" else None


def _fixtures(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a test execution brings along."""
    fixtures = [
        TaskFixture(
            id=each["task"],
            value=each.get("value"),
            state=State(each.get("state", "SUCCESS")),
            outputs=plain(each["outputs"]) if "outputs" in each else None,
        )
        for each in body.get("fixtures") or ()
    ]
    return {"fixtures": tuple(fixtures)} if fixtures else {}


async def _inputs(world: World, body: Mapping[str, Any], flow: Flow | None, execution_id: str) -> dict[str, Any] | None:
    given = body.get("inputs")
    if body.get("inputs_mode") != "typed":
        return plain(given) if given is not None else None
    assert flow is not None
    return await typed_inputs(world.engine, flow, given or {}, execution_id)


def _labels(flow: Flow | None, body: Mapping[str, Any], execution_id: str) -> tuple[tuple[str, str], ...]:
    labels = {key: value for key, value in (flow.labels.items() if flow else ()) if not key.startswith("system.")}
    labels.update({str(key): str(value) for key, value in (body.get("labels") or {}).items()})
    labels.setdefault("system.correlationId", execution_id)
    return tuple(labels.items())


def _date(value: Any) -> datetime | None:
    return instant(value) if isinstance(value, str) else value


async def _by_api(world: World, body: Mapping[str, Any]) -> str:
    namespace, _, flow_id = str(body["flow"]).partition("/")
    query: list[tuple[str, str | int | float | bool | None]] = []
    query += [("labels", f"{key}:{value}") for key, value in (body.get("labels") or {}).items()]
    if body.get("revision"):
        query.append(("revision", body["revision"]))
    if body.get("schedule_date"):
        query.append(("scheduleDate", plain(_date(body["schedule_date"]))))
    response = await world.engine.http.post(
        f"/api/v1/main/executions/{namespace}/{flow_id}", params=query, **form(body.get("inputs") or {})
    )
    check_answer(response, body.get("error"))
    return str(response.json()["id"]) if response.status_code < 300 else ""


def form(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs as the parts of a multipart request; files are parts named `files`, as the UI sends them."""
    fields: list[tuple[str, Any]] = []
    for name, value in inputs.items():
        if isinstance(value, Upload):
            fields.append(("files", (name, value.content, "application/octet-stream")))
        elif isinstance(value, str) and value.startswith("/") and Path(value).is_file():
            fields.append(("files", (name, Path(value).read_bytes(), "application/octet-stream")))
        elif value is not None:
            fields.append((name, (None, _form_text(value))))
    # An empty multipart body has no boundary; one that httpx sends always has a part.
    return {"files": fields} if fields else {}


def _form_text(value: Any) -> str:
    value = plain(value)
    if isinstance(value, str):
        return value
    return json.dumps(value)
