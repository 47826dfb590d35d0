"""Triggers: their states, and commands to them, which the scheduler carries out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from litestar import Response, delete, get, post, put
from litestar.params import FromPath

from tiercel.errors import Conflict, NotFound, Refused
from tiercel.messages.topics import TRIGGER_EVENT
from tiercel.messages.trigger_event import TriggerCommand
from tiercel.model.system import SYSTEM_NAMESPACE
from tiercel.model.trigger_state import Backfill, TriggerState
from tiercel.queue.base import Outgoing
from tiercel.repository.base import Sort
from tiercel.repository.filter import Field, Filter, Op, matches
from tiercel.webserver import query
from tiercel.webserver.context import Call
from tiercel.webserver.handlers import bulk
from tiercel.webserver.request import AnyRequest, json_of

_BASE: Final = "/api/v1/triggers"
CHANGE_WAIT_S: Final = 2.0
"""How long an answer waits for the scheduler."""
_LOOK_S: Final = 0.02
"""Between two looks whether it has done it: nobody notices so short a wait."""
_GETTERS: Final[dict[Field, Callable[[TriggerState], str]]] = {
    Field.NAMESPACE: lambda state: state.namespace,
    Field.FLOW_ID: lambda state: state.flow_id,
    Field.TRIGGER_ID: lambda state: state.trigger_id,
}
_SORTS: Final[dict[str, Callable[[TriggerState], Any]]] = {
    "namespace": lambda state: state.namespace,
    "flowId": lambda state: state.flow_id,
    "triggerId": lambda state: state.trigger_id,
    "executionId": lambda state: state.execution_id,
    "workerId": lambda state: state.worker_id,
    "disabled": lambda state: state.disabled,
    "locked": lambda state: state.locked,
    "date": lambda state: state.last_triggered_date,
    "lastTriggeredDate": lambda state: state.last_triggered_date,
    "evaluatedAt": lambda state: state.evaluated_at,
    "nextExecutionDate": lambda state: state.next_evaluation_date,
    "nextEvaluationDate": lambda state: state.next_evaluation_date,
    "updatedDate": lambda state: state.updated_at,
    "updatedAt": lambda state: state.updated_at,
}
"""What a list of triggers may be sorted by, with the names of 1.x and 2.x."""


def trigger_json(state: TriggerState) -> dict[str, Any]:
    """Return a trigger's state as the API shows it."""
    data: dict[str, Any] = {
        "tenantId": state.tenant_id,
        "namespace": state.namespace,
        "flowId": state.flow_id,
        "triggerId": state.trigger_id,
        "flowRevision": state.flow_revision,
        "date": state.last_triggered_date,
        "evaluatedAt": state.evaluated_at,
        "lastTriggeredDate": state.last_triggered_date,
        "nextExecutionDate": state.next_evaluation_date,
        "nextEvaluationDate": state.next_evaluation_date,
        "executionId": state.execution_id,
        "workerId": state.worker_id,
        "updatedDate": state.updated_at,
        "updatedAt": state.updated_at,
        "kind": state.kind,
        "why": state.why,
        "error": state.error,
    }
    shown = {name: value for name, value in data.items() if value is not None}
    if state.backfill is not None:
        shown["backfill"] = _backfill(state.backfill)
    return {**shown, "stopAfter": list(state.stop_after), "disabled": state.disabled, "locked": state.locked}


def _backfill(backfill: Backfill) -> dict[str, Any]:
    return {
        "start": backfill.start,
        "end": backfill.end,
        "currentDate": backfill.current_date,
        "paused": backfill.paused,
        "inputs": backfill.inputs,
        "labels": [{"key": key, "value": value} for key, value in backfill.labels],
    }


async def found_states(call: Call) -> list[TriggerState]:
    """Return the states that the query finds, by name."""
    wanted = call.query.filters("TRIGGER", query.TRIGGER_FIELDS, call.api.clock.now())
    states = [state for state in await call.api.statestore.triggers() if state.tenant_id == call.tenant_id]
    return sorted((state for state in states if all(_matches(state, each) for each in wanted)), key=lambda s: s.uid)


def _matches(state: TriggerState, wanted: Filter) -> bool:
    if wanted.field is Field.QUERY:
        return matches(state.uid, Op.CONTAINS, wanted.value) is not (wanted.op is Op.NOT_EQUALS)
    if wanted.field is Field.SCOPE:
        return any((state.namespace == SYSTEM_NAMESPACE) is (scope == "SYSTEM") for scope in wanted.value)
    getter = _GETTERS.get(wanted.field)
    return getter is None or matches(getter(state), wanted.op, wanted.value)


@get(f"{_BASE}/search", tags=["Triggers"])
async def search_triggers(request: AnyRequest) -> dict[str, Any]:
    """Search triggers by text, namespace and flow."""
    call = Call(request)
    page = call.query.page()
    states = _sorted(await found_states(call), page.sort)
    part = states[(page.number - 1) * page.size : page.number * page.size]
    return {"results": [await _with_definition(call, state) for state in part], "total": len(states)}


def _sorted(states: list[TriggerState], order: Iterable[Sort]) -> list[TriggerState]:
    """Sort states by what is shown of them; those of which it is not known come last, or first when descending."""
    for sort in reversed(tuple(order)):
        getter = _SORTS.get(sort.field)
        if getter is None:
            raise Refused(f"Triggers cannot be sorted by '{sort.field}'; use one of {', '.join(_SORTS)}.")
        known = [state for state in states if getter(state) is not None]
        known.sort(key=getter, reverse=sort.descending)
        unknown = [state for state in states if getter(state) is None]
        states = unknown + known if sort.descending else known + unknown
    return states


async def _with_definition(call: Call, state: TriggerState) -> dict[str, Any]:
    """Return both what the flow says of the trigger and its state; both are there in the flat form, too."""
    flow = await call.api.flows.flow(state.tenant_id, state.namespace, state.flow_id)
    found = flow.document.get("triggers") if flow is not None else None
    named = (each for each in found or () if isinstance(each, dict) and each.get("id") == state.trigger_id)
    shown = trigger_json(state)
    if call.is_new:
        return {"trigger": next(named, None), "state": shown}
    return {"abstractTrigger": next(named, None), "triggerContext": shown}


@get(f"{_BASE}/{{namespace:str}}/{{flow_id:str}}", tags=["Triggers"])
async def flow_triggers(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Return the triggers of a flow."""
    call = Call(request)
    states = [state for state in await found_states(call) if (state.namespace, state.flow_id) == (namespace, flow_id)]
    page = call.query.page()
    part = states[(page.number - 1) * page.size : page.number * page.size]
    return {"results": [trigger_json(state) for state in part], "total": len(states)}


async def commanded(call: Call, uid: str, command: str, data: dict[str, Any] | None = None) -> TriggerState:
    """Send a command, wait a moment for its effect, and return the trigger's state."""
    before = await _state(call, uid)
    await _send(call, [uid], command, data)
    end = call.api.clock.now().timestamp() + CHANGE_WAIT_S
    while call.api.clock.now().timestamp() < end:
        found = await call.api.statestore.triggers(uids=[uid])
        if not found or found[0].version != before.version:
            return found[0] if found else before
        await call.api.clock.sleep(_LOOK_S)  # a scheduler changes it, and a trigger has no announcement
    return before


async def _state(call: Call, uid: str) -> TriggerState:
    found = await call.api.statestore.triggers(uids=[uid])
    if not found:
        raise NotFound(f"Trigger '{uid.partition('/')[2]}' does not exist.")
    return found[0]


async def _send(call: Call, uids: list[str], command: str, data: dict[str, Any] | None = None) -> None:
    now = call.api.clock.now()
    messages = [TriggerCommand(trigger_uid=uid, at=now, command=command, data=data or {}) for uid in uids]
    await call.api.emitter.emit(*(Outgoing(topic=TRIGGER_EVENT, key=m.trigger_uid, message=m) for m in messages))


def uid_of(call: Call, named: Any) -> str:
    """Return the uid of the trigger that a body names."""
    names = [named.get(key) if isinstance(named, Mapping) else None for key in ("namespace", "flowId", "triggerId")]
    if not all(isinstance(name, str) and name for name in names):
        raise Refused('A trigger is named by {"namespace": …, "flowId": …, "triggerId": …}.')
    return "/".join((call.tenant_id, *map(str, names)))


async def _many(call: Call, uids: list[str], command: str) -> Response[Any]:
    if uids:
        await _send(call, uids, command)
    return bulk.answer(call, len(uids))


async def by_query(call: Call, command: str) -> Response[Any]:
    return await _many(call, [state.uid for state in await found_states(call)], command)


async def by_triggers(call: Call, command: str) -> Response[Any]:
    return await _many(call, await _named(call), command)


async def _named(call: Call) -> list[str]:
    body = await json_of(call.request)
    if not isinstance(body, list):
        raise Refused("The body must be a list of triggers.")
    return [uid_of(call, each) for each in body]


@post(f"{_BASE}/{{namespace:str}}/{{flow_id:str}}/{{trigger_id:str}}/unlock", status_code=200, tags=["Triggers"])
async def unlock_trigger(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], trigger_id: FromPath[str]
) -> dict[str, Any]:
    """Unlock a trigger that waits for an execution."""
    call = Call(request)
    uid = f"{call.tenant_id}/{namespace}/{flow_id}/{trigger_id}"
    if not (await _state(call, uid)).locked:
        raise Conflict(_unlocked(call, namespace, flow_id, trigger_id))
    return trigger_json(await commanded(call, uid, "unlock"))


def _unlocked(call: Call, namespace: str, flow_id: str, trigger_id: str) -> str:
    if not call.is_new:
        return "Trigger is not locked"
    named = f"tenant={call.tenant_id}, namespace={namespace}, flow={flow_id}, trigger={trigger_id}"
    return f"trigger [{named}] is already unlocked"


@post(f"{_BASE}/{{namespace:str}}/{{flow_id:str}}/{{trigger_id:str}}/restart", status_code=200, tags=["Triggers"])
async def restart_trigger(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], trigger_id: FromPath[str]
) -> dict[str, Any]:
    """Begin a trigger anew: without locks and what a worker does for it."""
    call = Call(request)
    return trigger_json(await commanded(call, f"{call.tenant_id}/{namespace}/{flow_id}/{trigger_id}", "restart"))


@delete(f"{_BASE}/{{namespace:str}}/{{flow_id:str}}/{{trigger_id:str}}", status_code=204, tags=["Triggers"])
async def delete_trigger(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], trigger_id: FromPath[str]
) -> None:
    """Forget the state of a trigger."""
    call = Call(request)
    await commanded(call, f"{call.tenant_id}/{namespace}/{flow_id}/{trigger_id}", "delete")


@put([_BASE, f"{_BASE}/set-disabled"], status_code=200, tags=["Triggers"])
async def set_disabled(request: AnyRequest) -> dict[str, Any]:
    """Disable or enable a trigger."""
    call = Call(request)
    body = await json_of(request)
    uid = uid_of(call, body)
    return trigger_json(await commanded(call, uid, "disable" if body.get("disabled") else "enable"))


@post(f"{_BASE}/set-disabled/by-triggers", status_code=200, tags=["Triggers"])
async def set_disabled_by_triggers(request: AnyRequest) -> Response[Any]:
    """Disable or enable triggers."""
    call = Call(request)
    body = await json_of(request)
    if not isinstance(body, Mapping) or not isinstance(body.get("triggers"), list):
        raise Refused('The body must be {"triggers": […], "disabled": true}.')
    uids = [uid_of(call, each) for each in body["triggers"]]
    return await _many(call, uids, "disable" if body.get("disabled") else "enable")


@post(f"{_BASE}/set-disabled/by-query", status_code=200, tags=["Triggers"])
async def set_disabled_by_query(request: AnyRequest) -> Response[Any]:
    """Disable or enable the triggers that a query finds."""
    call = Call(request)
    return await by_query(call, "disable" if call.query.flag("disabled", default=True) else "enable")


@post(f"{_BASE}/unlock/by-triggers", status_code=200, tags=["Triggers"])
async def unlock_by_triggers(request: AnyRequest) -> Response[Any]:
    """Unlock those of the triggers that are locked."""
    call = Call(request)
    states = await call.api.statestore.triggers(uids=await _named(call))
    return await _many(call, [state.uid for state in states if state.locked], "unlock")


@post(f"{_BASE}/unlock/by-query", status_code=200, tags=["Triggers"])
async def unlock_by_query(request: AnyRequest) -> Response[Any]:
    """Unlock those of the triggers that a query finds that are locked."""
    call = Call(request)
    return await _many(call, [state.uid for state in await found_states(call) if state.locked], "unlock")


@delete(f"{_BASE}/delete/by-triggers", status_code=200, tags=["Triggers"])
async def delete_by_triggers(request: AnyRequest) -> Response[Any]:
    """Forget the states of triggers."""
    return await by_triggers(Call(request), "delete")


@delete(f"{_BASE}/delete/by-query", status_code=200, tags=["Triggers"])
async def delete_by_query(request: AnyRequest) -> Response[Any]:
    """Forget the states of the triggers that a query finds."""
    return await by_query(Call(request), "delete")


HANDLERS: Final[list[Any]] = [
    search_triggers,
    flow_triggers,
    unlock_trigger,
    restart_trigger,
    delete_trigger,
    set_disabled,
    set_disabled_by_triggers,
    set_disabled_by_query,
    unlock_by_triggers,
    unlock_by_query,
    delete_by_triggers,
    delete_by_query,
]
