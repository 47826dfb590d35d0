"""
Concurrency limits: how many slots of a flow are taken, and slots that a person keeps free.

Executions hold slots by name; what a person sets is how many are taken, and those that no execution holds are reserved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar import get, put
from litestar.params import FromPath

from tiercel.errors import NotFound, Refused
from tiercel.messages.execution_event import SlotsCounted
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Scope
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest, json_of

_BASE: Final = "/api/v1/concurrency-limit"
SCOPES_MAX: Final = 10_000
"""Limits that a search looks at."""
RUNNING_MAX: Final = 1_000_000
"""More than any limit allows; a larger number is a slip of the pen."""
_LOOK_S: Final = 0.02
"""Between two looks whether the executor has done it: nobody notices so short a wait."""


def limit_json(scope: Scope) -> dict[str, Any]:
    """Return a scope as the API shows it."""
    _, tenant_id, namespace, flow_id = scope.id.split("/", 3)
    return {
        "tenantId": tenant_id,
        "namespace": namespace,
        "flowId": flow_id,
        "running": len(scope.holders) + scope.reserved,
        "waiting": len(scope.waiting),
        "limit": scope.limit,
    }


@get(f"{_BASE}/search", tags=["Concurrency"])
async def search_limits(request: AnyRequest) -> dict[str, Any]:
    """Return the limits of flows that have been executed, with the slots that are taken."""
    call = Call(request)
    page = call.query.page()
    found = await call.api.statestore.scopes_under(f"scope/{call.tenant_id}/", count=SCOPES_MAX)
    part = found[(page.number - 1) * page.size : page.number * page.size]
    return {"results": [limit_json(scope) for scope in part], "total": len(found)}


@put(f"{_BASE}/{{namespace:str}}/{{flow_id:str}}", status_code=200, tags=["Concurrency"])
async def set_running(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Say how many slots are taken: those that no execution holds stay free until it is said again."""
    call = Call(request)
    body = await json_of(request)
    running = body.get("running") if isinstance(body, Mapping) else None
    if not isinstance(running, int) or isinstance(running, bool) or not 0 <= running <= RUNNING_MAX:
        raise Refused(f'The body must be {{"running": …}}, a whole number from 0 to {RUNNING_MAX}.')
    flow = await call.api.flows.flow(call.tenant_id, namespace, flow_id)
    if flow is None or flow.concurrency is None:
        raise NotFound(f"Flow '{namespace}.{flow_id}' has no concurrency limit.")
    scope_id = f"scope/{call.tenant_id}/{namespace}/{flow_id}"
    before = (await call.api.statestore.scopes([scope_id])).get(scope_id)
    event = SlotsCounted(execution_id=scope_id, at=call.api.clock.now(), running=running, limit=flow.concurrency.limit)
    await call.api.emitter.emit(Outgoing(topic=EXECUTION_EVENT, key=scope_id, message=event))
    return limit_json(await _changed(call, scope_id, before))


async def _changed(call: Call, scope_id: str, before: Scope | None) -> Scope:
    """Return the scope when it has another version than before, or when the time to wait is over."""
    end = call.api.clock.now().timestamp() + call.api.settings.command_wait_s
    while True:
        found = (await call.api.statestore.scopes([scope_id])).get(scope_id)
        changed = found is not None and (before is None or found.version != before.version)
        if changed or call.api.clock.now().timestamp() >= end:
            return found or before or Scope(id=scope_id)
        await call.api.clock.sleep(_LOOK_S)  # an executor changes it, and a scope has no announcement


HANDLERS: Final[list[Any]] = [search_limits, set_running]
