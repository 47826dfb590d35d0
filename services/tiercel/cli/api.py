"""The calls of a server's API that the command line needs; any server that speaks Kestra's API will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tiercel.errors import Refused, Unavailable
from tiercel.model.state import State

BASE: Final = "/api/v1/main"
TIMEOUT_S: Final = 60.0
"""Longer than a server that waits for its database takes to say so."""


class RemoteServer:
    """A server, as seen from a terminal."""

    def __init__(self, url: str, user: str | None = None) -> None:
        name, _, password = (user or "").partition(":")
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/") + BASE, auth=(name, password) if user else None, timeout=TIMEOUT_S
        )
        self._url = url

    async def put_flow(self, source: str) -> dict[str, Any]:
        """Create the flow of a text, or its next revision."""
        head = yaml.safe_load(source)
        headers = {"content-type": "application/x-yaml"}
        known = await self._send("GET", f"/flows/{head['namespace']}/{head['id']}", expected=(200, 404))
        if known.status_code == 404:
            answer = await self._send("POST", "/flows", content=source.encode(), headers=headers)
        else:
            path = f"/flows/{head['namespace']}/{head['id']}"
            answer = await self._send("PUT", path, content=source.encode(), headers=headers)
        flow: dict[str, Any] = answer.json()
        return flow

    async def start(
        self, namespace: str, flow_id: str, inputs: Mapping[str, str | Path], labels: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Start an execution; a Path is sent as a file."""
        parts = [
            (name, (value.name, value.read_bytes()) if isinstance(value, Path) else (None, value.encode()))
            for name, value in inputs.items()
        ]
        empty = {"content-type": "multipart/form-data; boundary=none"}
        answer = await self._send(
            "POST",
            f"/executions/{namespace}/{flow_id}",
            params=[("labels", label.replace("=", ":", 1)) for label in labels],
            **({"files": parts} if parts else {"content": b"--none--\r\n", "headers": empty}),
        )
        execution: dict[str, Any] = answer.json()
        return execution

    async def execution(self, execution_id: str) -> dict[str, Any]:
        """Return an execution with its task runs."""
        execution: dict[str, Any] = (await self._send("GET", f"/executions/{execution_id}")).json()
        return execution

    async def children(self, execution_id: str) -> list[dict[str, Any]]:
        """Return the executions that an execution has started."""
        found = await self._send("GET", "/executions/search", params={"triggerExecutionId": execution_id, "size": 100})
        children: list[dict[str, Any]] = found.json().get("results", [])
        return children

    async def search(self, namespace: str) -> list[dict[str, Any]]:
        """Return the executions of a namespace, as lists show them."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            params = {"namespace": namespace, "page": page, "size": 500}
            answer = (await self._send("GET", "/executions/search", params=params)).json()
            found += answer["results"]
            if len(found) >= answer["total"] or not answer["results"]:
                return found
            page += 1

    async def is_written(self, execution_id: str) -> bool:
        """Tell whether history knows of the end of an execution, which its indexers write some time after it."""
        params = {"filters[q][EQUALS]": execution_id, "size": 1}
        found = (await self._send("GET", "/executions/search", params=params)).json()["results"]
        return bool(found) and State(found[0]["state"]["current"]).is_terminated

    async def logs(self, execution_id: str) -> list[dict[str, Any]]:
        """Return the log lines of an execution that have been written so far, oldest first."""
        lines: list[dict[str, Any]] = (await self._send("GET", f"/logs/{execution_id}")).json()
        return lines

    async def file(self, execution_id: str, uri: str) -> bytes:
        """Return the content of a file that an execution has stored."""
        return (await self._send("GET", f"/executions/{execution_id}/file", params={"path": uri})).content

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(
        self, method: str, path: str, *, expected: Sequence[int] = (200,), **content: Any
    ) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error).rstrip(".") or type(error).__name__
            raise Unavailable(f"Cannot reach the server at '{self._url}': {said}.") from error
        if answer.status_code not in expected:
            raise Refused(f"The server refused {method} {path} ({answer.status_code}): {_reason(answer)}")
        return answer


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message") or answer.text)
    except ValueError:
        return answer.text
