"""What tests of bad input and outages need of a real server: its API, its database, its processes, deadlines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

from tests.patience import PATIENCE_S, until
from tiercel.model.state import State
from tiercel.runtime.embedded import DATABASE, ROLE
from tiercel.testing.server import StandaloneServer

API: Final = "/api/v1/main"
YAML: Final = {"content-type": "application/x-yaml"}
WELL: Final = """\
id: well
namespace: bad
tasks:
  - id: done
    type: io.kestra.plugin.core.debug.Return
    format: fine
"""
"""A flow with which nothing is wrong: what is bad beside it must not matter to it."""
SERVICES: Final = ("webserver", "executor", "indexer", "worker", "scheduler")
"""In the order of their management ports."""


class Installation:
    """A standalone server, seen by somebody who may look everywhere."""

    def __init__(self, server: StandaloneServer) -> None:
        self.server = server
        self.http = httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S)

    async def put(self, source: str) -> None:
        """Store a flow that is valid and new."""
        answer = await self.http.post(f"{API}/flows", content=source.encode(), headers=YAML)
        assert 200 == answer.status_code, answer.text

    async def start(self, flow_id: str, namespace: str = "bad") -> str:
        """Start an execution without inputs; return its id."""
        empty = {"content-type": "multipart/form-data; boundary=none"}
        answer = await self.http.post(f"{API}/executions/{namespace}/{flow_id}", content=b"--none--\r\n", headers=empty)
        assert 200 == answer.status_code, answer.text
        return str(answer.json()["id"])

    async def run(self, source: str, flow_id: str, *, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """Store a flow, run it, and return the execution when it has ended."""
        await self.put(source)
        return await self.ended(await self.start(flow_id), within_s=within_s)

    async def ended(self, execution_id: str, *, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return an execution when it has ended."""

        async def look() -> dict[str, Any] | None:
            answer = await self.http.get(f"{API}/executions/{execution_id}")
            if answer.status_code == 503:  # the database is away
                return None
            assert 200 == answer.status_code, answer.text
            execution: dict[str, Any] = answer.json()
            return execution if State(execution["state"]["current"]).is_terminated else None

        return await until(look, f"execution '{execution_id}' to end", within_s=within_s)

    async def execution(self, execution_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"{API}/executions/{execution_id}")
        assert 200 == answer.status_code, answer.text
        execution: dict[str, Any] = answer.json()
        return execution

    async def said(self, execution_id: str, words: str, *, within_s: float = PATIENCE_S) -> str:
        """Return the log of an execution when it contains these words."""

        async def look() -> str | None:
            answer = await self.http.get(f"{API}/logs/{execution_id}")
            assert 200 == answer.status_code, answer.text
            lines = answer.json()
            if not isinstance(lines, list):
                return None  # the execution is in the queue still
            text = "\n".join(line["message"] or "" for line in lines)
            return text if words in text else None

        return await until(look, f"the log of '{execution_id}' to contain '{words}'", within_s=within_s)

    async def health(self, service: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a process's `/health`."""
        answer = await self.http.get(f"http://127.0.0.1:{self._port(service)}/health")
        return answer.status_code, answer.json()

    async def all_say(self, status: int) -> bool:
        """Tell whether `/health` of every process answers with this status."""
        answers = await asyncio.gather(*(self.health(service) for service in SERVICES))
        return all(code == status for code, _ in answers)

    async def metric(self, service: str, name: str, **labels: str) -> float | None:
        """Return the value of a metric of a process, None when it has none."""
        text = (await self.http.get(f"http://127.0.0.1:{self._port(service)}/metrics")).text
        for line in text.splitlines():
            if line.startswith(name) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return None

    async def sql(self, statement: str, *values: Any, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Run a statement in the embedded database; return its rows."""
        host = (self.server.data / "postgres.socket").read_text()
        uri = f"postgresql://{ROLE}@/{database}?host={host}"
        async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    def actions(self, action: str) -> list[dict[str, Any]]:
        """Return what the processes have logged under a name."""
        return [event for event in self.server.events() if event.get("action") == action]

    async def close(self) -> None:
        await self.http.aclose()

    def _port(self, service: str) -> int:
        return self.server.management_port + SERVICES.index(service)


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds now."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024
