"""Backfills: running a schedule over a past stretch of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar import Response, post, put

from tiercel.errors import Refused
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.triggers import by_query, by_triggers, commanded, trigger_json, uid_of
from tiercel.webserver.query import label_list, read_instant
from tiercel.webserver.request import AnyRequest, json_of

_BASE: Final = "/api/v1/triggers/backfill"


@put(f"{_BASE}/create", status_code=200, tags=["Triggers"])
async def create_backfill(request: AnyRequest) -> dict[str, Any]:
    """Run a schedule over the stretch of time from `start` to `end`."""
    call = Call(request)
    body = await json_of(request)
    uid = uid_of(call, body)
    return trigger_json(await commanded(call, uid, "backfill-create", _wanted(call, body)))


def _wanted(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    given = body.get("backfill", body)
    if not isinstance(given, Mapping) or not isinstance(given.get("start"), str):
        raise Refused('A backfill needs its start: {"backfill": {"start": "2026-01-01T00:00:00Z", "end": …}}.')
    start = read_instant("start", given["start"])
    end = read_instant("end", given["end"]) if given.get("end") else call.api.clock.now()
    if start >= end:
        raise Refused("The start of a backfill must be before its end.")
    data: dict[str, Any] = {"start": start, "end": end, "inputs": given.get("inputs")}
    if given.get("labels"):
        data["labels"] = [[key, value] for key, value in label_list(given["labels"]).items()]
    return data


@put([f"{_BASE}/pause", f"{_BASE}/unpause"], status_code=200, tags=["Triggers"])
async def pause_backfill(request: AnyRequest) -> dict[str, Any]:
    """Pause a backfill, or let it go on."""
    call = Call(request)
    wanted = "backfill-continue" if request.url.path.endswith("/unpause") else "backfill-pause"
    return trigger_json(await commanded(call, uid_of(call, await json_of(request)), wanted))


@post(f"{_BASE}/delete", status_code=200, tags=["Triggers"])
async def delete_backfill(request: AnyRequest) -> dict[str, Any]:
    """End a backfill where it stands."""
    call = Call(request)
    return trigger_json(await commanded(call, uid_of(call, await json_of(request)), "backfill-delete"))


_COMMANDS: Final = {"pause": "backfill-pause", "unpause": "backfill-continue", "delete": "backfill-delete"}


@post([f"{_BASE}/{name}/by-triggers" for name in _COMMANDS], status_code=200, tags=["Triggers"])
async def backfills_by_triggers(request: AnyRequest) -> Response[Any]:
    """Pause, continue or end the backfills of triggers."""
    return await by_triggers(Call(request), _COMMANDS[request.url.path.split("/")[-2]])


@post([f"{_BASE}/{name}/by-query" for name in _COMMANDS], status_code=200, tags=["Triggers"])
async def backfills_by_query(request: AnyRequest) -> Response[Any]:
    """Pause, continue or end the backfills of the triggers that a query finds."""
    return await by_query(Call(request), _COMMANDS[request.url.path.split("/")[-2]])


HANDLERS: Final[list[Any]] = [
    create_backfill,
    pause_backfill,
    delete_backfill,
    backfills_by_triggers,
    backfills_by_query,
]
