"""The server under load: one that runs already, or a standalone one of our own."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from backing.minio import S3Address
from bench.connection import Answer, Connections, multipart, request
from bench.processes import Processes
from tiercel.testing.server import StandaloneServer

BUCKET = "tiercel-bench"
TERMINATED = frozenset({"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED"})


class Target:
    """What benchmarks may do with a server."""

    def __init__(self, server: StandaloneServer | None, bucket: S3Address | None = None) -> None:
        self.server = server
        self.bucket = bucket
        url = urlsplit(server.url if server is not None else os.environ["BENCH_URL"])
        self.host, self.port = url.hostname or "127.0.0.1", url.port or 80
        self.headers = {"host": f"{self.host}:{self.port}"}
        if server is None and "BENCH_USER" in os.environ:
            pair = f"{os.environ['BENCH_USER']}:{os.environ.get('BENCH_PASSWORD', '')}"
            self.headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        self._base = f"/api/v1/{os.environ.get('BENCH_TENANT', 'main')}"
        self.processes = Processes(server) if server is not None else None
        self._connections: Connections | None = None

    async def connections(self, count: int = 1) -> Connections:
        """Return connections to the API; they are kept open."""
        if self._connections is None:
            self._connections = Connections(self.host, self.port)
        await self._connections.grow(count)
        return self._connections

    async def close(self) -> None:
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def post(self, namespace: str, flow_id: str, inputs: Mapping[str, str]) -> bytes:
        """Return the whole request that starts an execution."""
        kind, body = multipart(inputs)
        path = f"{self._base}/executions/{namespace}/{flow_id}"
        return request("POST", path, {**self.headers, "content-type": kind}, body)

    async def call(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> Any:
        """Call the API; return the decoded answer, None for 404."""
        headers = {**self.headers, "content-type": kind} if body else self.headers
        wanted = request(method, self._base + path, headers, body)
        try:
            status, content = await (await self.connections()).send(wanted)
        except ConnectionError:
            if method != "GET":
                raise
            await self.close()  # servers close what has been quiet for some seconds, all at the same moment
            status, content = await (await self.connections()).send(wanted)
        if status == 404:
            return None
        if status >= 400:
            raise RuntimeError(f"{method} {path} was answered with {status}: {content[:500]!r}")
        return msgspec.json.decode(content) if content else None

    async def put_flow(self, source: str) -> None:
        """Create a flow, or its next revision."""
        head = dict(re.findall(r"(?m)^(id|namespace): (\S+)$", source))
        path = f"/flows/{head['namespace']}/{head['id']}"
        if await self.call("GET", path) is None:
            await self.call("POST", "/flows", source.encode(), "application/x-yaml")
        else:
            await self.call("PUT", path, source.encode(), "application/x-yaml")

    async def start(self, flow_id: str, inputs: Mapping[str, str] | None = None) -> str:
        """Start an execution in the namespace `bench`; return its id."""
        status, content = await (await self.connections()).send(self.post("bench", flow_id, inputs or {}))
        if status != 200:
            raise RuntimeError(f"The execution was refused with {status}: {content[:500]!r}")
        return str(msgspec.json.decode(content)["id"])

    async def execution(self, execution_id: str) -> dict[str, Any]:
        """Return an execution."""
        found: dict[str, Any] = await self.call("GET", f"/executions/{execution_id}") or {}
        return found

    async def ended(self, execution_id: str, *, every_s: float = 0.05, timeout_s: float = 600.0) -> dict[str, Any]:
        """Wait for the end of an execution and return it."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            execution = await self.execution(execution_id)
            if execution.get("state", {}).get("current") in TERMINATED:
                return execution
            await asyncio.sleep(every_s)  # the server is elsewhere, and a follower would load it
        raise RuntimeError(f"The execution '{execution_id}' did not end within {timeout_s:g} s.")

    async def search(self, path: str, *, size: int = 1, **filters: str) -> dict[str, Any]:
        """Search by equality of fields; return the page: `results` and, where the server tells it, `total`."""
        query = {"size": str(size), **{f"filters[{name}][EQUALS]": value for name, value in filters.items()}}
        found: dict[str, Any] = await self.call("GET", f"{path}?{urlencode(query)}") or {}
        return found

    async def accepted(self, answer: asyncio.Future[Answer]) -> str | None:
        """Return the id of an execution that was asked for, None when it was refused or the connection broke."""
        try:
            status, body = await answer
        except OSError:
            return None
        return str(msgspec.json.decode(body)["id"]) if status == 200 else None


def own_server(folder: Path, bucket: S3Address | None, settings: Mapping[str, str]) -> StandaloneServer:
    """Return a server of our own with these settings, not started yet; its files go to the bucket if there is one."""
    files = bucket.environment(BUCKET) if bucket is not None else {}
    return StandaloneServer(folder, environment={"TIERCEL_LOGGING_LEVEL": "INFO", **files, **settings})
