"""
Who changed what: each request that changes something leaves a record in history, sent before its answer.

An answer that arrives tells of a change that is on record. The creation of an execution leaves none: the execution is
its own record, and there are thousands a second. Neither does a request that was refused: it has changed nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tiercel.errors import Unavailable
from tiercel.messages.history import AuditRecord
from tiercel.messages.topics import HISTORY
from tiercel.model import ids
from tiercel.queue.base import Outgoing
from tiercel.webserver import metrics
from tiercel.webserver.context import ApiContext
from tiercel.webserver.request import tenant_of

log = logging.getLogger(__name__)

READS: Final = frozenset(
    {"autocomplete", "count_executions", "draw_source", "eval_execution", "eval_task_run", "export_by_ids"}
    | {"flow_expressions", "latest_executions", "render_expressions", "validate_flows", "validate_inputs"}
    | {"validate_resume", "validate_task", "validate_trigger"}
)
"""Handlers that are asked by POST because of the length of the question, and change nothing."""
CREATIONS: Final = frozenset({"create_execution", "trigger_execution", "webhook", "webhook_below"})
NAMING: Final = ("/by-ids", "/by-triggers")
"""Ends of paths whose body says what the request is about."""
BODY_MAX: Final = 16 << 10
"""Bytes of such a body that are kept: some hundred ids."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def recorded(api: ApiContext, scope: Any, actor: str, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return the `receive` and `send` of a request that may change something: before its answer goes its record."""
    path: str = scope["path"]
    names = path.endswith(NAMING)
    body = bytearray()

    async def receiving() -> Any:
        message = await receive()
        if names and len(body) <= BODY_MAX:
            body.extend(message.get("body", b"")[: BODY_MAX + 1 - len(body)])
        return message

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start" and _may_have_changed(scope, message["status"]):
            await _send(api, _record(api, scope, actor, message["status"], bytes(body)))
        await send(message)

    return receiving, sending


def _may_have_changed(scope: Any, status: int) -> bool:
    """Tell whether the request that is answered was one to change something, and was not refused."""
    handler = scope.get("route_handler")
    if handler is None or 400 <= status < 500:
        return False
    return handler.handler_name not in READS | CREATIONS


def _record(api: ApiContext, scope: Any, actor: str, status: int, body: bytes) -> AuditRecord:
    at = api.clock.now()
    detail: dict[str, Any] = {"status": status}
    if scope["query_string"]:
        detail["query"] = scope["query_string"].decode("latin-1")
    if body:
        detail["body"] = body[:BODY_MAX].decode(errors="replace").replace("\0", "") + "…" * (len(body) > BODY_MAX)
    if scope.get("client"):
        detail["client"] = scope["client"][0]
    return AuditRecord(
        id=ids.new_id(at),
        at=at,
        tenant_id=tenant_of(scope),
        actor=actor,
        action=f"{scope['method']} {scope['path_template'].removeprefix('/api/v1')}",
        subject=scope["path"].removeprefix("/api/v1"),
        detail=detail,
    )


async def _send(api: ApiContext, record: AuditRecord) -> None:
    try:
        await api.emitter.emit(Outgoing(topic=HISTORY, key=record.id, message=record))
    except Unavailable as error:  # what was changed is changed, and is answered; the log is the record then
        metrics.AUDIT_LOST.inc()
        log.error(
            "%s on %s by %s is not on record: %s", record.action, record.subject, record.actor, error,
            extra={"action": "audit_lost"},
        )  # fmt: skip
