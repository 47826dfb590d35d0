"""Webhooks: addresses that start an execution when another program calls them."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import HttpMethod, Response, route
from litestar.params import FromPath

from tiercel.condition.evaluate import Subject, all_hold, upstream_of, when_holds
from tiercel.condition.label import trigger_labels
from tiercel.errors import ExpressionError, NotFound, Refused
from tiercel.expression.nesting import nested
from tiercel.expression.rendering import Renderer
from tiercel.messages.creation import created
from tiercel.messages.execution_event import CreateExecution
from tiercel.model.execution import TriggerInfo
from tiercel.model.flow import Flow
from tiercel.model.state import State
from tiercel.plugins.core.trigger.webhook import Webhook, WebhookTrigger
from tiercel.runtime.expressions import Expressions
from tiercel.webserver import creation, evaluation, hookbody, inputs
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.creation import wait_for_end
from tiercel.webserver.reader import View
from tiercel.webserver.request import AnyRequest, headers_as_sent

log = logging.getLogger(__name__)

_PATH: Final = "/api/v1/executions/webhook/{namespace:str}/{flow_id:str}/{key:str}"
_NOTHING_BELOW: Final = "The webhook takes no path below its key"
_METHODS: Final = [HttpMethod.GET, HttpMethod.POST, HttpMethod.PUT]


@route(_PATH, http_method=_METHODS, status_code=200, tags=["Executions"])
async def webhook(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], key: FromPath[str]
) -> Response[Any]:
    """Start an execution of the flow that has a webhook of this key."""
    call = Call(request)
    flow = await creation.executable_flow(call.api, call.tenant_id, namespace, flow_id)
    trigger = await _trigger(call, flow, key)
    if request.scope["raw_path"].endswith(b"/"):
        raise NotFound(_NOTHING_BELOW)
    execution_id, at = creation.new_id(call.api)
    received = await hookbody.received(call, flow, trigger.fetch_type, execution_id)
    event = None
    try:
        variables = {**received, "headers": _headers(request), "parameters": _parameters(call)}
        plain = creation.creation_event(flow, execution_id, at, creation.Wish(), None, "trigger")
        info = TriggerInfo(id=trigger.id, type=trigger.type, variables=variables)
        event = await _complete(call, flow, trigger, msgspec.structs.replace(plain, trigger=info))
    finally:
        if event is None:
            await hookbody.drop(call, flow, execution_id, received)
    if event is None:
        return Response(None, status_code=204)
    execution = await creation.send(call.api, event)
    if not isinstance(trigger, Webhook) or not trigger.wait:
        return Response(creation.created_json(call.api, execution, call.is_new))
    await wait_for_end(call.api, execution_id)
    view = await call.api.reader.view(call.tenant_id, execution_id)
    return await _ended(call, flow, trigger, view)


async def _complete(call: Call, flow: Flow, trigger: WebhookTrigger, event: CreateExecution) -> CreateExecution | None:
    """Return the event with its labels and inputs, None when the trigger's conditions do not hold."""
    context = _context(call, flow, event)
    if not await call.api.expressions.rendered(
        call.tenant_id, flow.dialect, lambda renderer: _holds(renderer, flow, trigger, event, context)
    ):
        return None
    labels = await call.api.expressions.rendered(
        call.tenant_id, flow.dialect, lambda renderer: trigger_labels(flow, trigger, context, renderer.render)
    )
    return msgspec.structs.replace(
        event,
        labels=creation.execution_labels(flow, dict(labels), event.execution_id, "trigger"),
        inputs=await _inputs(call, flow, trigger, event.execution_id, context),
    )


@route(f"{_PATH}/{{rest:path}}", http_method=_METHODS, status_code=200, tags=["Executions"])
async def webhook_below(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], key: FromPath[str], rest: FromPath[str]
) -> Response[Any]:
    """Refuse: no webhook takes a path below its key."""
    call = Call(request)
    flow = await creation.executable_flow(call.api, call.tenant_id, namespace, flow_id)
    await _trigger(call, flow, key)
    raise NotFound(f"{_NOTHING_BELOW}, and '{rest}' was given")


async def _trigger(call: Call, flow: Flow, key: str) -> WebhookTrigger:
    """Return the flow's webhook of this key; one whose key cannot be rendered has none."""
    context = {**_flow_context(call, flow)}
    for trigger in flow.triggers:
        if isinstance(trigger, WebhookTrigger) and not trigger.disabled:
            rendered = await _rendered_key(call.api.expressions, flow, trigger.key, context)
            if rendered is not None and hmac.compare_digest(rendered.strip().encode(), key.encode()):
                return trigger
    raise NotFound("Webhook not found")


async def _rendered_key(expressions: Expressions, flow: Flow, key: str, context: Mapping[str, Any]) -> str | None:
    try:
        return await expressions.rendered(flow.tenant_id, flow.dialect, lambda renderer: renderer.render(key, context))
    except ExpressionError:
        return None  # whoever calls learns nothing of the flow's mistakes


def _flow_context(call: Call, flow: Flow) -> dict[str, Any]:
    shown = {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision, "tenantId": flow.tenant_id}
    return {"flow": shown, "vars": flow.variables, **call.api.surroundings}


def _context(call: Call, flow: Flow, event: CreateExecution) -> dict[str, Any]:
    return {
        **_flow_context(call, flow),
        "trigger": event.trigger.variables if event.trigger is not None else {},
        "labels": nested(event.labels),
        "execution": {"id": event.execution_id, "startDate": event.at, "state": State.CREATED.value},
    }


def _holds(
    renderer: Renderer, flow: Flow, trigger: WebhookTrigger, event: CreateExecution, context: Mapping[str, Any]
) -> bool:
    subject = Subject(
        namespace=flow.namespace,
        flow_id=flow.id,
        variables=context,
        execution=upstream_of(created(event)),
    )
    try:
        return when_holds(trigger.when, context, renderer.render) and all_hold(
            trigger.conditions, subject, renderer.render
        )
    except ExpressionError as error:
        # As for every trigger: what cannot be told does not hold.
        log.warning(
            "a webhook's conditions cannot be evaluated: %s",
            error,
            extra={"action": "webhook_condition_failed", "namespace": flow.namespace, "flow_id": flow.id},
        )
        return False


async def _inputs(
    call: Call, flow: Flow, trigger: WebhookTrigger, execution_id: str, context: Mapping[str, Any]
) -> dict[str, Any] | None:
    if not flow.inputs:
        return None
    given = await call.api.expressions.rendered(
        flow.tenant_id, flow.dialect, lambda renderer: _values(renderer, trigger.inputs or {}, context)
    )
    return await inputs.typed_values(call.api, flow, execution_id, flow.inputs, given)


def _values(renderer: Renderer, value: Any, context: Mapping[str, Any]) -> Any:
    """Render the texts of a value; a lone expression keeps the type of what it gives."""
    if isinstance(value, str):
        return renderer.render_data(value, context)
    if isinstance(value, Mapping):
        return {name: _values(renderer, part, context) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_values(renderer, part, context) for part in value]
    return value


def _headers(request: AnyRequest) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers_as_sent(request.scope):
        found.setdefault(name, []).append(value)
    return found


def _parameters(call: Call) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in call.query.pairs:
        found.setdefault(name, []).append(value)
    return found


async def _ended(call: Call, flow: Flow, trigger: Webhook, view: View) -> Response[Any]:
    """Answer with the ended execution, or its outputs, as the trigger says."""
    status = 500 if view.execution.state is State.FAILED else 200
    if trigger.response_code is not None:
        status = await _status(call, flow, trigger.response_code, view)
    if not trigger.return_outputs:
        return Response(view.to_json(call.api.clock), status_code=status)
    body = msgspec.json.encode(view.execution.outputs or {})
    return Response(body, status_code=status, media_type=trigger.response_content_type or "application/json")


async def _status(call: Call, flow: Flow, code: int | str, view: View) -> int:
    evaluated = await evaluation.evaluated(call.api, flow, view, None, str(code))
    text = str(evaluated["result"] or "").strip()
    if not text.isdigit() or not 200 <= int(text) <= 599:
        raise Refused(f"The webhook's responseCode '{code}' is '{text or evaluated['error']}', not a status of HTTP.")
    return int(text)


HANDLERS: Final[list[Any]] = [webhook, webhook_below]
