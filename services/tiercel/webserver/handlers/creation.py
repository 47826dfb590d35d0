"""Creating executions: `POST /executions/{namespace}/{id}`, the hot path, and what belongs to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from litestar import post
from litestar.params import FromPath

from tiercel.errors import Refused
from tiercel.expression.nesting import nested
from tiercel.messages.execution_event import CreateExecution
from tiercel.model.flow import CheckBehavior, Flow
from tiercel.model.state import State
from tiercel.webserver import creation, inputs, multipart
from tiercel.webserver.context import ApiContext, Call
from tiercel.webserver.follower import Version
from tiercel.webserver.problem import TooBusy
from tiercel.webserver.request import AnyRequest, tenant_of

_EMPTY_JSON: Final = 2
"""Bytes of a body that gives no inputs: some clients send `{}` for it."""
_RESTING: Final = frozenset({State.PAUSED, State.BREAKPOINT})
"""States in which a waiting request is answered although the execution has not ended."""


async def create(api: ApiContext, scope: Any, receive: Any, namespace: str, flow_id: str) -> tuple[int, dict[str, Any]]:
    """Create an execution; return the status and the answer."""
    tenant_id = tenant_of(scope)
    is_new = scope.get("tiercel.new", False)
    if api.is_behind:
        raise TooBusy("The history of executions is written too slowly; try again when an indexer has caught up.")
    wish = creation.read_wish(scope["query_string"])
    flow = await creation.executable_flow(api, tenant_id, namespace, flow_id, wish.revision, wish.kind)
    execution_id, at = creation.new_id(api)
    event = creation.creation_event(flow, execution_id, at, wish, None)
    typed = await _inputs(api, scope, receive, flow, event)
    if typed is not None:
        event = msgspec.structs.replace(event, inputs=typed)
    if flow.checks:
        failed, behavior = await inputs.checked(api, flow, execution_id, typed, dict(event.labels))
        reason = "; ".join(check.message for check in failed)
        if behavior is CheckBehavior.BLOCK_EXECUTION:
            raise Refused(f"The flow's checks do not allow this execution: {reason}")
        if behavior is CheckBehavior.FAIL_EXECUTION:
            event = msgspec.structs.replace(event, failed=reason)
    execution = await creation.send(api, event)
    if not wish.wait:
        return 200, creation.created_json(api, execution, is_new)
    await wait_for_end(api, execution_id, receive)
    view = await api.reader.view(tenant_id, execution_id)
    return 200, view.to_json(api.clock) | creation.addresses(api, execution, is_new)


async def _inputs(
    api: ApiContext, scope: Any, receive: Any, flow: Flow, event: CreateExecution
) -> dict[str, Any] | None:
    content_type = content_length = b""
    execution_id, labels = event.execution_id, dict(event.labels)
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            content_length = value
    if content_length == b"0" or not content_type.startswith(b"multipart/"):
        _refuse_other_bodies(content_type.decode("latin-1"), content_length.decode("latin-1"))
        return await inputs.typed(api, flow, execution_id, None, labels) if flow.inputs else None
    with multipart.form() as form:
        await multipart.read(form, content_type.decode("latin-1"), body(receive), api.settings.text_part_max)
        return await inputs.typed(api, flow, execution_id, form, labels)


def _refuse_other_bodies(content_type: str, content_length: str) -> None:
    """Refuse a body that is no form: what it gives would be ignored."""
    if content_length.isdecimal() and int(content_length) > _EMPTY_JSON:
        given = f"not as '{content_type}'" if content_type else "and the request names no content type"
        raise Refused(f"Inputs come as parts of 'multipart/form-data', {given}.")


async def body(receive: Any) -> AsyncIterator[bytes]:
    """Yield the body of a request as it arrives."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def wait_for_end(api: ApiContext, execution_id: str, receive: Any = None) -> None:
    """Wait until the execution rests or ends, the caller has gone, or the longest wait is over."""

    def is_done(version: Version | None) -> bool:
        return version is not None and (version[1].is_terminated or version[1] in _RESTING)

    waiting = asyncio.ensure_future(api.followers.until(execution_id, is_done, api.settings.wait_max_s))
    leaving = asyncio.ensure_future(_disconnected(receive)) if receive is not None else None
    tasks = {waiting, leaving} if leaving is not None else {waiting}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
    finally:
        for task in tasks:
            task.cancel()


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@post("/api/v1/executions/{namespace:str}/{flow_id:str}", status_code=200, tags=["Executions"])
async def create_execution(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Create an execution of a flow; inputs are the parts of a multipart body."""
    return (await create(request.app.state.api, request.scope, request.receive, namespace, flow_id))[1]


@post("/api/v1/executions/trigger/{namespace:str}/{flow_id:str}", status_code=200, tags=["Executions"], deprecated=True)
async def trigger_execution(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Create an execution of a flow: the older path."""
    return (await create(request.app.state.api, request.scope, request.receive, namespace, flow_id))[1]


@post("/api/v1/executions/{namespace:str}/{flow_id:str}/validate", status_code=200, tags=["Executions"])
async def validate_inputs(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Say for each input of a flow whether the values that are given are good."""
    call = Call(request)
    wish = creation.read_wish(request.scope["query_string"])
    flow = await creation.executable_flow(call.api, call.tenant_id, namespace, flow_id, wish.revision, wish.kind)
    execution_id, _ = creation.new_id(call.api)
    labels = dict(creation.execution_labels(flow, wish.labels, execution_id, wish.origin))
    with multipart.form() as form:
        content_type = request.headers.get("content-type", "")
        if content_type.startswith("multipart/"):
            await multipart.read(form, content_type, request.stream(), call.api.settings.text_part_max)
        else:
            _refuse_other_bodies(content_type, request.headers.get("content-length", ""))
        answers = await inputs.judged(call.api, flow, execution_id, flow.inputs, form, labels=labels)
    values = nested((each["input"]["id"], each["value"]) for each in answers if each["enabled"])
    failed, _ = await inputs.checked(call.api, flow, execution_id, values, labels)
    shown = [{"message": check.message, "style": check.style, "behavior": check.behavior} for check in failed]
    return {"id": flow.id, "namespace": flow.namespace, "inputs": answers, "checks": shown}


HANDLERS: Final[list[Any]] = [create_execution, trigger_execution, validate_inputs]
