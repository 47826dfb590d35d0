"""
A generator of load that costs little: it shares the cores with what it measures.

Raw asyncio protocols speak just enough HTTP/1.1: keep-alive, one request at a time per connection, answers with a
length or in chunks. A request is one block of bytes, made once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, cast

import msgspec

BOUNDARY: Final = "tiercel-bench-7d1f"
TICK_S: Final = 0.002
"""At a fixed rate, requests that are due leave together so often: a timer for each would cost more than the request."""

Answer = tuple[int, bytes]


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def multipart(fields: Mapping[str, str]) -> tuple[str, bytes]:
    """Return content type and body of a form."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return f"multipart/form-data; boundary={BOUNDARY}", ("".join(parts) + f"--{BOUNDARY}--\r\n").encode()


class _Connection(asyncio.Protocol):
    def __init__(self, pool: Connections) -> None:
        self._pool = pool
        self._buffer = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._pool.lost(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("The server closed the connection."))

    def send(self, content: bytes, answer: asyncio.Future[Answer]) -> None:
        assert self._transport is not None
        self._answer = answer
        self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        content = self._buffer + data if self._buffer else data
        end = content.find(b"\r\n\r\n")
        body = self._body(content, content[:end].lower(), end + 4) if end >= 0 else None
        if body is None:
            self._buffer = content
            return
        self._buffer = b""
        answer, self._answer = self._answer, None
        self._pool.give_back(self)
        if answer is not None and not answer.done():
            answer.set_result((int(content[9:12]), body))

    def _body(self, content: bytes, head: bytes, start: int) -> bytes | None:
        """Return the body when all of it is there."""
        at = head.find(b"content-length:")
        if at >= 0:
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            return content[start : start + length] if len(content) >= start + length else None
        if b"transfer-encoding: chunked" in head:
            return _unchunked(content[start:]) if content.endswith(b"0\r\n\r\n") else None
        return b""

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _unchunked(content: bytes) -> bytes:
    body, at = bytearray(), 0
    while at < len(content):
        end = content.index(b"\r\n", at)
        count = int(content[at:end].split(b";")[0], 16)
        body += content[end + 2 : end + 2 + count]
        at = end + 2 + count + 2 if count else len(content)
    return bytes(body)


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent at a fixed rate: the answers and the planned instant of each, in order, and what sending cost."""

    answers: list[asyncio.Future[Answer]]
    due: list[float]
    client_cpu_s: float
    """Of sending; reading answers that come later is not in it."""


class Connections:
    """A set of connections to one address; a request waits for a free one."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._free: deque[_Connection] = deque()
        self._all: list[_Connection] = []
        self._waiting: deque[tuple[bytes, asyncio.Future[Answer]]] = deque()
        self._opening: asyncio.Future[None] | None = None

    async def grow(self, count: int) -> None:
        """Open connections until there are so many."""
        self._all = [connection for connection in self._all if not connection.closed]
        self._free = deque(connection for connection in self._free if not connection.closed)
        while len(self._all) < count:
            await self._open()

    async def _open(self) -> None:
        _, made = await asyncio.get_running_loop().create_connection(lambda: _Connection(self), *self._address)
        self._all.append(made)
        self.give_back(made)

    def lost(self, connection: _Connection) -> None:
        """Replace a connection that requests wait for: a server closes those that have been quiet for a while."""
        if connection in self._all:
            self._all.remove(connection)
        if self._waiting and self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
            self._opening.add_done_callback(lambda _: setattr(self, "_opening", None))

    def send(self, content: bytes) -> asyncio.Future[Answer]:
        """Send a request as soon as a connection is free; the future holds status and body."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        while self._free:
            connection = self._free.popleft()
            if not connection.closed:
                connection.send(content, answer)
                return answer
        self._waiting.append((content, answer))
        return answer

    async def offer(self, content: bytes, rate: float, count: int) -> Offered:
        """Send a request so many times at a fixed rate, whatever becomes of the ones before (open loop)."""
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Answer]] = []
        cpu = time.process_time()
        begin, wall = loop.time(), time.time()
        while len(answers) < count:
            due = min(count, int((loop.time() - begin) * rate) + 1)
            while len(answers) < due:
                answers.append(self.send(content))
            await asyncio.sleep(TICK_S)  # the next request is not due yet
        return Offered(
            answers=answers,
            due=[wall + number / rate for number in range(count)],
            client_cpu_s=time.process_time() - cpu,
        )

    def give_back(self, connection: _Connection) -> None:
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def close(self) -> None:
        for connection in list(self._all):
            connection.close()
