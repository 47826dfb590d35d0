"""
A container engine for tests: it speaks the part of Docker's HTTP API that tasks use, over a socket, and runs commands.

A container is a folder and a process. What is put into it is below its folder, and the process starts there, so that
relative paths are those of a container; it is no prison.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn


class FakeContainer:
    """What the engine knows of one container."""

    def __init__(self, name: str, specification: dict[str, Any], root: Path) -> None:
        self.name = name
        self.specification = specification
        self.root = root
        self.process: asyncio.subprocess.Process | None = None
        self.started = asyncio.Event()
        self.killed: list[str] = []


class FakeEngine:
    """The engine: `containers` are those that exist, `made` all that were ever made, `calls` what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "engine.sock"
        self.images: set[str] = {"ubuntu:latest"}
        self.programs: dict[str, list[str]] = {}
        """What an image starts; a container's command are its arguments."""
        self.pulls: list[dict[str, Any]] = []
        self.pull_answers: list[tuple[int, str]] = []
        self.containers: dict[str, FakeContainer] = {}
        self.made: list[FakeContainer] = []
        self.calls: list[str] = []

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeEngine]:
        config = uvicorn.Config(self, uds=str(self.socket), log_level="error", lifespan="off", http="h11")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve())
        while not server.started:  # noqa: ASYNC110 the server has no event to wait for
            await asyncio.sleep(0)  # the server has its turn
        try:
            yield self
        finally:
            for container in list(self.containers.values()):
                self._kill(container)
            server.should_exit = True
            await serving

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        path, method = unquote(scope["path"]), scope["method"]
        self.calls.append(f"{method} {path}")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, content = await self._answer(method, path, query, body, headers)
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-engine", b"fake")]})
        if isinstance(content, bytes):
            await send({"type": "http.response.body", "body": content})
            return
        async for chunk in content:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> Any:
        parts = path.strip("/").split("/")
        if path == "/_ping":
            return 200, b"OK"
        if parts[0] == "images":
            return self._image(parts, query, headers)
        if path == "/containers/json":
            return 200, self._listed(query)
        if path == "/containers/create":
            if any(query["name"] == each.name for each in self.containers.values()):
                return 409, b'{"message": "the name is in use"}'
            name = os.urandom(16).hex()
            container = FakeContainer(query["name"], json.loads(body), self.folder / name)
            container.root.mkdir()
            self.containers[name] = container
            self.made.append(container)
            return 201, json.dumps({"Id": name}).encode()
        found = self.containers.get(parts[1])
        if found is None:
            return 404, b'{"message": "no such container"}'
        return await self._container(method, parts, query, body, found)

    def _image(self, parts: list[str], query: dict[str, str], headers: Any) -> Any:
        if parts[1:] == ["create"]:
            self.pulls.append({**query, "auth": headers.get("x-registry-auth")})
            if self.pull_answers:
                status, text = self.pull_answers.pop(0)
                return status, text.encode()
            self.images.add(f"{query['fromImage']}:{query.get('tag', '')}")
            return 200, b'{"status": "Pulling"}\n{"status": "Done"}\n'
        name = "/".join(parts[1:-1])
        known = name in self.images or f"{name}:latest" in self.images
        return (200, b"{}") if known else (404, b'{"message": "no such image"}')

    def _listed(self, query: dict[str, str]) -> bytes:
        wanted = dict(label.split("=", 1) for label in json.loads(query["filters"])["label"])
        listed = [
            {"Id": name, "Labels": container.specification["Labels"]}
            for name, container in self.containers.items()
            if wanted.items() <= container.specification["Labels"].items()
        ]
        return json.dumps(listed).encode()

    async def _container(
        self, method: str, parts: list[str], query: dict[str, str], body: bytes, found: FakeContainer
    ) -> Any:
        match method, parts[2:]:
            case "PUT", ["archive"]:
                with tarfile.open(fileobj=io.BytesIO(body)) as archive:
                    archive.extractall(found.root / query["path"].lstrip("/"))  # filters came with Python 3.11.4
                return 200, b""
            case "GET", ["archive"]:
                inside = found.root / query["path"].lstrip("/")
                if not inside.exists():
                    return 404, b'{"message": "no such path"}'
                made = io.BytesIO()
                with tarfile.open(fileobj=made, mode="w") as archive:
                    archive.add(inside, inside.name)
                return 200, made.getvalue()
            case "POST", ["start"]:
                await self._start(found)
                return 204, b""
            case "GET", ["logs"]:
                return 200, _output(found)
            case "POST", ["wait"]:
                assert found.process is not None
                code = await found.process.wait()
                return 200, json.dumps({"StatusCode": code if code >= 0 else 128 - code}).encode()
            case "POST", [("kill" | "stop") as how]:
                if found.process is None or found.process.returncode is not None:
                    return (409 if how == "kill" else 304), b'{"message": "not running"}'
                found.killed.append(how if how == "kill" else f"stop {query['t']}")
                self._kill(found)
                return 204, b""
            case "DELETE", []:
                self._kill(found)
                del self.containers[parts[1]]
                return 204, b""
        return 404, b'{"message": "page not found"}'

    async def _start(self, found: FakeContainer) -> None:
        said = found.specification
        folder = found.root / said.get("WorkingDir", "").lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        environment = dict(pair.split("=", 1) for pair in said["Env"])
        found.process = await asyncio.create_subprocess_exec(
            *(*self.programs.get(said["Image"], []), *said.get("Cmd", [])),
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        found.started.set()

    @staticmethod
    def _kill(found: FakeContainer) -> None:
        if found.process is not None and found.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(found.process.pid, signal.SIGKILL)


async def _output(found: FakeContainer) -> AsyncIterator[bytes]:
    """Yield both streams in the form of a container without a terminal: a header before each piece."""
    assert found.process is not None
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def pump(stream: asyncio.StreamReader | None, number: int) -> None:
        assert stream is not None
        while data := await stream.read(7):  # odd pieces: lines and characters are cut anywhere
            await pieces.put(bytes([number, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)
        await pieces.put(None)

    pumps = [
        asyncio.ensure_future(pump(found.process.stdout, 1)),
        asyncio.ensure_future(pump(found.process.stderr, 2)),
    ]
    ended = 0
    while ended < len(pumps):
        piece = await pieces.get()
        if piece is None:
            ended += 1
            continue
        yield piece[:5]
        yield piece[5:]
