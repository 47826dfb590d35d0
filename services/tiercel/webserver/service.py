"""The webserver as a service: uvicorn in the service's event loop, without its signal handlers."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tiercel.errors import InvalidSettings
from tiercel.runtime import retry
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.service import Service
from tiercel.webserver.app import build
from tiercel.webserver.request import NAMES_AS_SENT
from tiercel.webserver.settings import WebserverSettings

GRACE_MAX_S = 60
"""Longer than this no request is waited for; a live stream would never end."""

KEEP_ALIVE_S = 75
"""Longer than clients and proxies keep a connection (mostly 5 to 60 s): who closes first breaks no request."""


class WebserverService(Service):
    """Serves the API."""

    name = "webserver"

    def __init__(self, adapters: Adapters, settings: WebserverSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or WebserverSettings()
        self.app = build(adapters, self.settings)
        self._server: _Server | None = None
        self.port = self.settings.port
        """The port that is listened on: what was asked for, or the one that the system chose for 0."""

    async def start(self) -> None:
        config = uvicorn.Config(
            self.app,
            http=_Protocol,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=int(min(self.settings.grace_s, GRACE_MAX_S)),
            timeout_keep_alive=KEEP_ALIVE_S,
            backlog=4096,
        )
        listener = _listen(self.settings.host, self.settings.port)
        self.port = listener.getsockname()[1]
        self._server = _Server(config)
        await self._server.open(listener)
        self.spawn("flows", self._listen())
        self.spawn("backlog", self._watch_backlog())
        self.spawn("http", self._server.work())

    async def _listen(self) -> None:
        async for attempt in retry.backend("queue"):
            with attempt:
                await self.app.api.flows.listen(self.app.api.queue)

    async def _watch_backlog(self) -> None:
        async for attempt in retry.backend("queue"):
            with attempt:
                await self.app.api.watch_backlog()

    async def drain(self) -> None:
        """Take no new connections, let requests end; streams end now, their listeners find another process."""
        self.app.api.draining.set()
        if self._server is not None:
            self._server.should_exit = True
            await self._server.ended.wait()
        await self.app.api.close()


class _Protocol(HttpToolsProtocol):
    """Uvicorn's protocol, which keeps beside the headers how the caller spelt their names."""

    parser: httptools.HttpRequestParser
    """What reads a request, and tells the names as they came."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._names: list[bytes] = []
        cast("dict[str, Any]", self.scope)[NAMES_AS_SENT] = self._names

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take the next header."""
        self._names.append(name)
        super().on_header(name, value)


class _Server(uvicorn.Server):
    """Uvicorn's server in steps, and without its signal handlers: the process has its own way to be stopped."""

    async def open(self, listener: socket.socket) -> None:
        """Listen."""
        self.ended = asyncio.Event()
        self._listener = listener
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup([listener])

    async def work(self) -> None:
        """Serve until `should_exit` is set."""
        try:
            await self.main_loop()
            await self.shutdown([self._listener])
        finally:
            self.ended.set()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return _listener(host, port)
    except OSError as error:
        raise InvalidSettings(
            f"Cannot listen on port {port} of '{host}': {error.strerror or error}; set 'server.port' (--port) to a "
            "free one, and 'server.host' (--host) to an address of this machine."
        ) from error


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener
