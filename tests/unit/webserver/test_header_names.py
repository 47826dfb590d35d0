"""The names of a request's headers, as its caller spelt them."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from tiercel.webserver.request import headers_as_sent
from tiercel.webserver.service import _Protocol

REQUEST = b"POST / HTTP/1.1\r\nHost: h\r\nX-GitHub-Event: Push\r\nx-other: 1\r\nX-Other: 2\r\nConnection: close\r\n\r\n"


async def test_the_server_keeps_how_the_names_of_headers_were_spelt() -> None:
    """Webhooks show them so, while everything else still finds them in small letters."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([headers_as_sent(scope), [name for name, _ in scope["headers"]]])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app, http=_Protocol, lifespan="off", log_config=None)
    config.load()

    def protocol() -> _Protocol:
        return _Protocol(config=config, server_state=ServerState(), app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 204")
    assert [("Host", "h"), ("X-GitHub-Event", "Push"), ("x-other", "1"), ("X-Other", "2")] == seen[0][:4]
    assert [b"host", b"x-github-event"] == seen[1][:2]


def test_without_such_a_server_the_names_are_those_of_the_scope() -> None:
    """Litestar's own clients and other servers tell nothing more."""
    assert [("x-a", "1")] == headers_as_sent({"headers": [(b"x-a", b"1")]})
