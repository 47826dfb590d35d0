"""
The ASGI application: Litestar for all routes, and in front of it two short cuts.

A path may name the tenant (`/api/v1/main/…`) or not (`/api/v1/…`): the tenant is taken out of the path here, so that
each route exists once. The route that creates executions is answered before any framework: it is the hot path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar, Response
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig

from tiercel.errors import NotFound
from tiercel.model import ids
from tiercel.runtime.adapters import Adapters
from tiercel.webserver import audit, metrics, problem
from tiercel.webserver.context import ApiContext
from tiercel.webserver.gate import SAFE, Gate, headers_of
from tiercel.webserver.handlers import HANDLERS, creation
from tiercel.webserver.request import AnyRequest, tenant_of
from tiercel.webserver.settings import WebserverSettings

_PREFIX: Final = "/api/v1/"
_CREATE: Final = "/api/v1/executions/"
_ENCODE: Final = msgspec.json.Encoder().encode
RESOURCES: Final = frozenset(
    {"auditlogs", "basicAuth", "concurrency-limit", "configs", "dashboards", "executions", "expressions", "flows", "kv"}
    | {"logs", "metrics", "namespaces", "outputs", "pebble", "plugins", "secrets", "services", "stats", "taskruns"}
    | {"templates", "triggers", "version"}
)
"""First words of paths without a tenant; any other first word is one."""
_ACTIONS: Final = frozenset(
    {"actions", "by-ids", "by-query", "change-status", "eval", "force-run", "kill", "labels", "latest", "pause"}
    | {"replay", "replay-with-inputs", "restart", "resume", "resume-from-breakpoint", "state", "trigger", "unqueue"}
    | {"webhook"}
)
"""Words at a place of a path where the name of a flow or namespace stands when an execution is created."""


def build(adapters: Adapters, settings: WebserverSettings | None = None) -> WebApp:
    """Return the application on these adapters."""
    api = ApiContext(adapters, settings or WebserverSettings())
    litestar = Litestar(
        route_handlers=HANDLERS,
        state=State({"api": api}),
        exception_handlers={Exception: _on_error},
        cors_config=_for_guests(api.settings.allowed_origins) if api.settings.allowed_origins else None,
        openapi_config=OpenAPIConfig(title="Tiercel", version="1", path="/api/docs"),
        request_max_body_size=None,
        logging_config=None,
    )
    return WebApp(api, litestar)


class WebApp:
    """An ASGI application; `api` is what it works with."""

    def __init__(self, api: ApiContext, litestar: Litestar) -> None:
        self.api, self.litestar = api, litestar
        self._gate = Gate(api.settings)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.litestar(scope, receive, send)
            return
        with metrics.OPEN_REQUESTS.track_inprogress():
            await self._answer(scope, receive, metrics.counted(scope["method"], send))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        try:
            if "\0" in path or b"%00" in scope["query_string"]:
                raise problem.BadQuery("The address contains the character NUL, which no name or value can contain.")
            scope, path = self._without_tenant(scope, path)
            headers = headers_of(scope)
            if not headers.get(b"content-type", b"").startswith(b"multipart/"):
                receive = _bounded(receive, self.api.settings.body_max)
            is_guarded = not self._gate.is_open(path) and not self._gate.is_preflight(scope["method"], headers)
            if is_guarded and not self._gate.knows(headers):
                await self._ask_for_credentials(send, path)
                return
            if is_guarded and self._gate.is_foreign(scope["method"], headers):
                await _turn_away(send, path)
                return
            names = path[len(_CREATE) :].split("/") if scope["method"] == "POST" and path.startswith(_CREATE) else []
            if len(names) == 2 and names[0] not in _ACTIONS and await self._is_creation(scope, *names):
                status, body = await creation.create(self.api, scope, receive, *names)
                await respond(send, status, _ENCODE(body))
                return
        except Exception as error:  # every error becomes an answer, as in Litestar's own handlers
            status, body = problem.answer(error, scope.get("tiercel.path", path))
            await respond(send, status, _ENCODE(body))
            return
        if scope["method"] not in SAFE:
            receive, send = audit.recorded(self.api, scope, self._gate.actor(path), receive, send)
        await self.litestar(scope, receive, send)

    async def _is_creation(self, scope: Any, first: str, second: str) -> bool:
        """
        Tell whether the path names a flow, not an execution and, in the older form, a command to it.

        A flow may bear the name of a command; then what stands before it is no execution's id, but its namespace.
        """
        if second not in _ACTIONS:
            return True
        if ids.instant_of(first) is not None:
            return False
        return await self.api.flows.flow(tenant_of(scope), first, second) is not None

    def _without_tenant(self, scope: Any, path: str) -> tuple[Any, str]:
        if not path.startswith(_PREFIX):
            return scope, path
        first, slash, rest = path[len(_PREFIX) :].partition("/")
        if first in RESOURCES or not slash:
            return scope, path
        if first not in self.api.settings.tenants:
            raise NotFound(f"Tenant '{first}' does not exist; the path begins with '/api/v1/main/'.")
        given, path = path, _PREFIX + rest
        named = {"tiercel.tenant": first, "tiercel.new": True, "tiercel.path": given}
        return {**scope, "path": path, "raw_path": path.encode(), **named}, path

    async def _ask_for_credentials(self, send: Any, path: str) -> None:
        body = {"message": "Unauthorized: give a user name and a password.", "_links": {"self": {"href": path}}}
        realm = f'Basic realm="{self.api.settings.realm}"'.encode()
        await respond(send, 401, _ENCODE(body), ((b"www-authenticate", realm),))


def _for_guests(origins: Sequence[str]) -> CORSConfig:
    """Let pages of these sites read answers, and send what a program sends; they need the password as well."""
    return CORSConfig(allow_origins=list(origins), allow_headers=["authorization", "content-type"])


def _bounded(receive: Any, size_max: int) -> Any:
    """Return what receives a request; a body that grows beyond its bound is TooLarge before it is in memory."""
    size = 0

    async def received() -> Any:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > size_max:
            raise problem.TooLarge(f"The body has more than {size_max} bytes.")
        return message

    return received


async def _turn_away(send: Any, path: str) -> None:
    message = (
        "Forbidden: the page of another site must not change anything here;"
        " 'webserver.allowed-origins' names those that may."
    )
    await respond(send, 403, _ENCODE({"message": message, "_links": {"self": {"href": path}}}))


async def respond(send: Any, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer with JSON, without any framework."""
    length = str(len(body)).encode()
    own = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})


def _on_error(request: AnyRequest, error: Exception) -> Response[Any]:
    scope: Any = request.scope
    status, body = problem.answer(error, scope.get("tiercel.path", scope["path"]))
    return Response(content=body, status_code=status, media_type="application/json")
