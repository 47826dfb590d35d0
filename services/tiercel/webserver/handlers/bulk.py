"""Commands to many executions: by their ids, or by a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar import Response, delete, post

from tiercel.errors import Refused
from tiercel.model import ids
from tiercel.model.state import State
from tiercel.repository.base import Page
from tiercel.webserver import command, query
from tiercel.webserver.command import Command
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.actions import delete_files, deletion, new_labels, read_state
from tiercel.webserver.request import AnyRequest, json_of

_BASE: Final = "/api/v1/executions"


async def by_ids(call: Call, wanted: Command, execution_ids: list[str] | None = None) -> Response[Any]:
    """Give a command to the executions that the body names."""
    named = await ids_of(call) if execution_ids is None else execution_ids
    count = await command.give_all(call.api, wanted, call.tenant_id, named, wait=not call.is_new)
    return answer(call, count)


async def by_query(call: Call, wanted: Command) -> Response[Any]:
    """Give a command to the executions that the query finds."""
    return await by_ids(call, wanted, await found_ids(call))


async def ids_of(call: Call) -> list[str]:
    """Return the ids in the body."""
    body = await json_of(call.request)
    if not isinstance(body, list) or not all(isinstance(id_, str) for id_ in body):
        raise Refused("The body must be a list of execution ids.")
    _bound(call, len(body))
    return body


async def found_ids(call: Call) -> list[str]:
    """Return the ids of the executions that the query finds."""
    wanted = call.query.filters("EXECUTION", query.EXECUTION_FIELDS, call.api.clock.now())
    named: list[str] = []
    cursor: str | None = None
    while True:
        page = Page(size=query.SIZE_MAX, cursor=cursor, total=False)
        found = await call.api.repository.search(call.tenant_id, wanted, page)
        named += [execution.id for execution in found.results]
        _bound(call, len(named))
        cursor = found.cursor
        if cursor is None:
            return named


def _bound(call: Call, count: int) -> None:
    if count > call.api.settings.bulk_max:
        raise Refused(
            f"A bulk request takes at most {call.api.settings.bulk_max} executions; narrow it, or send several."
        )


def answer(call: Call, count: int) -> Response[Any]:
    """Answer a bulk request: the older form waits and counts, the newer one names an operation."""
    if not call.is_new:
        return Response({"count": count}, status_code=200)
    return Response({"operationId": ids.new_id(call.api.clock.now()), "totalItems": count}, status_code=202)


async def _replay(call: Call, named: list[str]) -> Response[Any]:
    revisions: dict[str, int | None] = {}
    if call.query.flag("latestRevision"):
        heads = await call.api.reader.heads(call.tenant_id, named)
        for execution in heads.values():
            flow = await call.api.flows.flow(call.tenant_id, execution.namespace, execution.flow_id)
            revisions[execution.id] = flow.revision if flow is not None else None
    return await by_ids(call, command.replay(lambda execution: revisions.get(execution.id)), named)


@delete(f"{_BASE}/kill/by-ids", status_code=200, tags=["Executions"])
async def kill_by_ids(request: AnyRequest) -> Response[Any]:
    """Kill executions."""
    return await by_ids(Call(request), command.kill(cascade=True))


@delete(f"{_BASE}/kill/by-query", status_code=200, tags=["Executions"])
async def kill_by_query(request: AnyRequest) -> Response[Any]:
    """Kill the executions that a query finds."""
    return await by_query(Call(request), command.kill(cascade=True))


@post(f"{_BASE}/pause/by-ids", status_code=200, tags=["Executions"])
async def pause_by_ids(request: AnyRequest) -> Response[Any]:
    """Pause executions."""
    return await by_ids(Call(request), command.pause())


@post(f"{_BASE}/pause/by-query", status_code=200, tags=["Executions"])
async def pause_by_query(request: AnyRequest) -> Response[Any]:
    """Pause the executions that a query finds."""
    return await by_query(Call(request), command.pause())


@post(f"{_BASE}/resume/by-ids", status_code=200, tags=["Executions"])
async def resume_by_ids(request: AnyRequest) -> Response[Any]:
    """Resume executions."""
    return await by_ids(Call(request), command.resume())


@post(f"{_BASE}/resume/by-query", status_code=200, tags=["Executions"])
async def resume_by_query(request: AnyRequest) -> Response[Any]:
    """Resume the executions that a query finds."""
    return await by_query(Call(request), command.resume())


@post(f"{_BASE}/restart/by-ids", status_code=200, tags=["Executions"])
async def restart_by_ids(request: AnyRequest) -> Response[Any]:
    """Restart executions."""
    return await by_ids(Call(request), command.restart())


@post(f"{_BASE}/restart/by-query", status_code=200, tags=["Executions"])
async def restart_by_query(request: AnyRequest) -> Response[Any]:
    """Restart the executions that a query finds."""
    return await by_query(Call(request), command.restart())


@post(f"{_BASE}/replay/by-ids", status_code=200, tags=["Executions"])
async def replay_by_ids(request: AnyRequest) -> Response[Any]:
    """Replay executions."""
    call = Call(request)
    return await _replay(call, await ids_of(call))


@post(f"{_BASE}/replay/by-query", status_code=200, tags=["Executions"])
async def replay_by_query(request: AnyRequest) -> Response[Any]:
    """Replay the executions that a query finds."""
    call = Call(request)
    return await _replay(call, await found_ids(call))


@post(f"{_BASE}/force-run/by-ids", status_code=200, tags=["Executions"])
async def force_run_by_ids(request: AnyRequest) -> Response[Any]:
    """Run executions now."""
    return await by_ids(Call(request), command.force_run())


@post(f"{_BASE}/force-run/by-query", status_code=200, tags=["Executions"])
async def force_run_by_query(request: AnyRequest) -> Response[Any]:
    """Run the executions that a query finds now."""
    return await by_query(Call(request), command.force_run())


@post(f"{_BASE}/unqueue/by-ids", status_code=200, tags=["Executions"])
async def unqueue_by_ids(request: AnyRequest) -> Response[Any]:
    """Take executions out of their waiting lines."""
    call = Call(request)
    return await by_ids(call, command.unqueue(read_state(call.query.one("state") or State.RUNNING.value, "state")))


@post(f"{_BASE}/unqueue/by-query", status_code=200, tags=["Executions"])
async def unqueue_by_query(request: AnyRequest) -> Response[Any]:
    """Take the executions that a query finds out of their waiting lines."""
    call = Call(request)
    wanted = read_state(call.query.one("newState") or State.RUNNING.value, "newState")
    return await by_query(call, command.unqueue(wanted))


@post(f"{_BASE}/change-status/by-ids", status_code=200, tags=["Executions"])
async def change_status_by_ids(request: AnyRequest) -> Response[Any]:
    """Set the state of executions that have ended."""
    call = Call(request)
    return await by_ids(call, command.change_status(read_state(call.query.one("newStatus"), "newStatus")))


@post(f"{_BASE}/change-status/by-query", status_code=200, tags=["Executions"])
async def change_status_by_query(request: AnyRequest) -> Response[Any]:
    """Set the state of the executions that a query finds."""
    call = Call(request)
    return await by_query(call, command.change_status(read_state(call.query.one("newStatus"), "newStatus")))


@post(f"{_BASE}/labels/by-ids", status_code=200, tags=["Executions"])
async def labels_by_ids(request: AnyRequest) -> Response[Any]:
    """Set labels of executions; those that are not named stay."""
    call = Call(request)
    body = await json_of(request)
    if not isinstance(body, Mapping) or not isinstance(body.get("executionsId"), list):
        raise Refused('The body must be {"executionsId": […], "executionLabels": [{"key": …, "value": …}]}.')
    given = new_labels(query.label_list(body.get("executionLabels")))
    return await by_ids(call, command.set_labels(given, keep=True), [str(id_) for id_ in body["executionsId"]])


@post(f"{_BASE}/labels/by-query", status_code=200, tags=["Executions"])
async def labels_by_query(request: AnyRequest) -> Response[Any]:
    """Set labels of the executions that a query finds; those that are not named stay."""
    call = Call(request)
    given = new_labels(query.label_list(await json_of(request)))
    return await by_query(call, command.set_labels(given, keep=True))


@delete(f"{_BASE}/by-ids", status_code=200, tags=["Executions"])
async def delete_by_ids(request: AnyRequest) -> dict[str, int]:
    """Delete executions."""
    call = Call(request)
    return await _delete(call, await ids_of(call))


@delete(f"{_BASE}/by-query", status_code=200, tags=["Executions"])
async def delete_by_query(request: AnyRequest) -> dict[str, int]:
    """Delete the executions that a query finds."""
    call = Call(request)
    return await _delete(call, await found_ids(call))


async def _delete(call: Call, named: list[str]) -> dict[str, int]:
    heads = await call.api.reader.heads(call.tenant_id, named)
    count = await command.give_all(call.api, deletion(call), call.tenant_id, named, wait=True)
    if call.query.flag("deleteStorage", default=True):
        for execution in heads.values():
            await delete_files(call, execution)
    return {"count": count}


HANDLERS: Final[list[Any]] = [
    kill_by_ids,
    kill_by_query,
    pause_by_ids,
    pause_by_query,
    resume_by_ids,
    resume_by_query,
    restart_by_ids,
    restart_by_query,
    replay_by_ids,
    replay_by_query,
    force_run_by_ids,
    force_run_by_query,
    unqueue_by_ids,
    unqueue_by_query,
    change_status_by_ids,
    change_status_by_query,
    labels_by_ids,
    labels_by_query,
    delete_by_ids,
    delete_by_query,
]
