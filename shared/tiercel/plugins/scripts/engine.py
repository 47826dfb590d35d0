"""
A container engine, spoken to over its socket: Docker's HTTP API, which Podman speaks as well.

Six requests are all that a task needs, so httpx over the socket serves, and no client library with a thread per stream.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from tiercel.errors import TaskFailed

CONNECT_TIMEOUT_S: Final = 10.0
"""An engine on this machine answers at once, one in the network soon; after this none is there."""
ANSWER_TIMEOUT_S: Final = 120.0
"""How long an engine may take for what is no stream: starting a container on a busy machine takes a while."""
PULL_ATTEMPTS: Final = 3
"""A registry that is busy refuses now and then; one that refuses so often means it."""
PULL_PAUSE_S: Final = 1.0
"""Before the second try; twice as long before the third."""
FRAME_HEADER: Final = 8
"""Bytes before each piece of output: the stream, three of nothing, and the length."""
FRAME_MAX: Final = 64 << 20
"""A longer piece is no piece of output, but a stream that is read at a wrong place."""
_DEFAULT_REGISTRY: Final = "docker.io"


class EngineUnavailable(TaskFailed):
    """No engine answers at the address."""


def sockets() -> list[Path]:
    """Return where engines listen on a machine, the likeliest first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return [
        Path("/var/run/docker.sock"),
        *([Path(runtime, "docker.sock"), Path(runtime, "podman", "podman.sock")] if runtime else []),
        Path("/run/podman/podman.sock"),
    ]


def found_host() -> str | None:
    """Return the address of this machine's engine: what the environment says, or the first socket that is there."""
    given = os.environ.get("DOCKER_HOST") or os.environ.get("CONTAINER_HOST")
    if given:
        return given
    return next((f"unix://{path}" for path in sockets() if path.is_socket()), None)


class Engine:
    """One engine; `async with` closes the connections."""

    def __init__(self, host: str) -> None:
        self.host = host
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        scheme, _, rest = host.partition("://")
        if scheme == "unix":
            transport = httpx.AsyncHTTPTransport(uds=rest)
            self._client = httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=timeout)
        elif scheme in ("tcp", "http", "https"):
            base = f"http://{rest}" if scheme == "tcp" else host
            self._client = httpx.AsyncClient(base_url=base, timeout=timeout, trust_env=False)
        else:
            raise TaskFailed(f"'{host}' is not the address of an engine; write 'unix:///path' or 'tcp://host:port'.")

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ping(self) -> None:
        """Raise EngineUnavailable when nobody answers."""
        await self._ask("GET", "/_ping")

    async def has_image(self, image: str) -> bool:
        """Tell whether the engine has an image."""
        answer = await self._ask("GET", f"/images/{quote(image, safe='/:@')}/json", allowed=(HTTPStatus.NOT_FOUND,))
        return answer.status_code != HTTPStatus.NOT_FOUND

    async def pull(self, image: str, credentials: Mapping[str, str] | None) -> None:
        """Fetch an image; raise TaskFailed with the engine's reason when it cannot be had."""
        name, tag = split_image(image)
        headers = {}
        if credentials:
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(json.dumps(dict(credentials)).encode()).decode()
        for attempt in range(1, PULL_ATTEMPTS + 1):
            try:
                await self._pull({"fromImage": name, "tag": tag}, headers, image)
            except _Busy as error:
                if attempt == PULL_ATTEMPTS:
                    raise TaskFailed(f"The image '{image}' cannot be fetched: {error}") from error
                await asyncio.sleep(PULL_PAUSE_S * attempt)  # a registry that is busy asks for time
            else:
                return

    async def _pull(self, query: Mapping[str, str], headers: Mapping[str, str], image: str) -> None:
        async with self._stream("POST", "/images/create", params=query, headers=headers) as answer:
            if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _Busy(_reason(await answer.aread()))
            if answer.is_error:
                raise TaskFailed(f"The image '{image}' cannot be fetched: {_reason(await answer.aread())}")
            async for line in answer.aiter_lines():
                failed = _message(line, "error")
                if failed is not None:
                    raise TaskFailed(f"The image '{image}' cannot be fetched: {failed}")

    async def create(self, specification: Mapping[str, Any], name: str) -> str:
        """Create a container of a name that no other one has; return its id."""
        answer = await self._ask("POST", "/containers/create", params={"name": name}, json=specification)
        return str(answer.json()["Id"])

    async def start(self, container: str) -> None:
        """Start a container."""
        await self._ask("POST", f"/containers/{container}/start")

    async def output(self, container: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield what a container prints, with the name of the stream, until it ends."""
        query = {"follow": "true", "stdout": "true", "stderr": "true"}
        held = bytearray()
        async with self._stream("GET", f"/containers/{container}/logs", params=query) as answer:
            if answer.is_error:
                raise TaskFailed(f"The engine does not give the container's output: {_reason(await answer.aread())}")
            async for chunk in answer.aiter_raw():
                held += chunk
                while len(held) >= FRAME_HEADER:
                    length = int.from_bytes(held[4:FRAME_HEADER], "big")
                    if length > FRAME_MAX:
                        raise TaskFailed("The engine sends output in a form that is not understood.")
                    if len(held) < FRAME_HEADER + length:
                        break
                    stream = "stderr" if held[0] == 2 else "stdout"
                    yield stream, bytes(held[FRAME_HEADER : FRAME_HEADER + length])
                    del held[: FRAME_HEADER + length]

    async def wait(self, container: str) -> int:
        """Wait for a container's end; return its exit code."""
        timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
        answer = await self._ask("POST", f"/containers/{container}/wait", timeout=timeout)
        return int(answer.json()["StatusCode"])

    async def stop(self, container: str, grace_s: float) -> None:
        """End a container, at once or after a grace; one that has ended, or is gone, is no mistake."""
        gone = (HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        if grace_s >= 1:
            await self._ask("POST", f"/containers/{container}/stop", params={"t": str(int(grace_s))}, allowed=gone)
        else:
            await self._ask("POST", f"/containers/{container}/kill", allowed=gone)

    async def remove(self, container: str) -> None:
        """Remove a container with its volumes, running or not; one that is gone is no mistake."""
        query, gone = {"force": "true", "v": "true"}, (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        await self._ask("DELETE", f"/containers/{container}", params=query, allowed=gone)

    async def put_archive(self, container: str, path: str, archive: AsyncIterator[bytes]) -> None:
        """Unpack a tar archive in a container, below a path."""
        await self._ask("PUT", f"/containers/{container}/archive", params={"path": path}, content=archive)

    async def archive(self, container: str, path: str) -> AsyncIterator[bytes]:
        """Yield a tar archive of a path in a container; nothing when it is not there."""
        async with self._stream("GET", f"/containers/{container}/archive", params={"path": path}) as answer:
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return
            if answer.is_error:
                raise TaskFailed(f"The engine does not give the container's files: {_reason(await answer.aread())}")
            async for chunk in answer.aiter_raw():
                yield chunk

    async def containers(self, labels: Sequence[str]) -> list[dict[str, Any]]:
        """Return the containers with all of these labels (`name=value`), running or not."""
        query = {"all": "true", "filters": json.dumps({"label": list(labels)})}
        listed: list[dict[str, Any]] = (await self._ask("GET", "/containers/json", params=query)).json()
        return listed

    @contextlib.asynccontextmanager
    async def _stream(self, method: str, path: str, **more: Any) -> AsyncIterator[httpx.Response]:
        """Give an answer that is read as it comes, however long that takes."""
        timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
        try:
            async with self._client.stream(method, path, timeout=timeout, **more) as answer:
                yield answer
        except httpx.TransportError as error:
            raise self._unavailable(error) from error

    async def _ask(self, method: str, path: str, *, allowed: Sequence[int] = (), **more: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error
        if (answer.is_error or answer.is_redirect) and answer.status_code not in allowed:
            raise TaskFailed(f"The container engine refused: {_reason(answer.content)}")
        return answer

    def _unavailable(self, error: Exception) -> EngineUnavailable:
        reason = str(error) or type(error).__name__
        return EngineUnavailable(f"No container engine answers at '{self.host}': {reason}; is it running?")


class _Busy(Exception):
    """The engine has a mistake of its own, which may pass."""


def _message(line: str | bytes, key: str) -> str | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    found = data.get(key) if isinstance(data, dict) else None
    return None if found is None else str(found)


def _reason(content: bytes) -> str:
    return _message(content, "message") or content.decode("utf-8", "replace").strip()[:1000] or "it gave no reason"


def split_image(image: str) -> tuple[str, str]:
    """Return the name and the tag of an image; a digest stays with the name and has no tag."""
    if "@" in image:
        return image, ""
    name, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return name, tag
    return image, "latest"


def registry_of(image: str) -> str:
    """Return the registry that an image's name begins with."""
    first, slash, _ = image.partition("/")
    return first if slash and re.search(r"[.:]|^localhost$", first) else _DEFAULT_REGISTRY
