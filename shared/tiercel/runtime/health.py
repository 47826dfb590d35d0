"""
The management port of a process: `/health`, `/health/liveness`, `/health/readiness` and `/metrics`.

A tiny HTTP/1.1 server of its own, because four GETs do not need a framework in each of five processes. A check returns
None when all is well, else a sentence; `/health` is 503 as long as one of them has something to say, but for a concern,
which is only shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from tiercel.errors import InvalidSettings
from tiercel.runtime.metrics import Exposition

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str | None]]


class Concern(str):
    """What a check says when somebody should look, and the process works all the same."""

    __slots__ = ()


REQUEST_SIZE_MAX: Final = 16 << 10
"""Bytes of a request's head: that of a probe or of Prometheus has some hundred."""
REQUEST_TIMEOUT_S: Final = 10.0
"""A client that has asked for nothing by then is hung up on."""
CHECK_TIMEOUT_S: Final = 5.0
"""A check that hangs is a check that fails. It is not cancelled, which a hanging server would delay as well."""


class ManagementServer:
    """Answers the questions of orchestrators and Prometheus."""

    def __init__(
        self,
        service: str,
        checks: Mapping[str, Check],
        *,
        ready: Callable[[], bool],
        exposition: Exposition | None = None,
    ) -> None:
        self._service = service
        self._checks = checks
        self._ready = ready
        self._exposition = exposition or Exposition()
        self._server: asyncio.Server | None = None
        self._asking: dict[str, asyncio.Task[str | None]] = {}
        """The last question of each check: there is never more than one without an answer."""

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None, "The server has not been started."
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=REQUEST_SIZE_MAX)
        except OSError as error:
            raise InvalidSettings(
                f"Cannot listen on port {port} of '{host}' for /health and /metrics: {error.strerror or error}; "
                "set 'server.management-port' (--management-port) to a free one, or to 0 for none."
            ) from error

    async def stop(self) -> None:
        """Close the port."""
        for question in self._asking.values():
            question.cancel()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):  # a client that says nothing must not hold a connection
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = await self.answer(_path(head))
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                    "connection: close\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("request cut off", extra={"action": "management_request_cut_off", "reason": repr(error)})
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def answer(self, path: str) -> tuple[str, str, bytes]:
        """Return status, content type and body for a path."""
        match path:
            case "/metrics" | "/prometheus":
                return "200 OK", CONTENT_TYPE_LATEST, self._exposition.text()
            case "/health/liveness":
                return _json(True, {"status": "UP"})
            case "/health/readiness":
                return _json(self._ready(), {"status": "UP" if self._ready() else "DOWN"})
            case "/health":
                return await self._health()
            case _:
                return (
                    "404 Not Found",
                    "text/plain",
                    b"Here are /health, /health/liveness, /health/readiness, /metrics.\n",
                )

    async def _health(self) -> tuple[str, str, bytes]:
        names = list(self._checks)
        said = await asyncio.gather(*(self._asked(name) for name in names))
        details = {
            name: {"status": "UP"} if sentence is None else {"status": _status(sentence), "details": str(sentence)}
            for name, sentence in zip(names, said, strict=True)
        }
        well = self._ready() and all(sentence is None or isinstance(sentence, Concern) for sentence in said)
        return _json(well, {"name": self._service, "status": "UP" if well else "DOWN", "details": details})

    async def _asked(self, name: str) -> str | None:
        question = self._asking.get(name)
        if question is None or question.done():
            question = self._asking[name] = asyncio.ensure_future(self._checks[name]())
        await asyncio.wait({question}, timeout=CHECK_TIMEOUT_S)  # who asks is answered, in time
        return question.result() if question.done() else f"No answer within {CHECK_TIMEOUT_S:g} s."


def _status(sentence: str) -> str:
    return "WARNING" if isinstance(sentence, Concern) else "DOWN"


def _path(head: bytes) -> str:
    parts = head.split(b" ", 2)
    return parts[1].split(b"?")[0].decode("latin-1") if len(parts) == 3 else ""


def _json(well: bool, content: Mapping[str, Any]) -> tuple[str, str, bytes]:
    return "200 OK" if well else "503 Service Unavailable", "application/json", msgspec.json.encode(content)
