"""A stage for tests of the API: the application on adapters in memory, with an executor and an indexer if wanted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.patience import PATIENCE_S
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.executor.service import ExecutorService
from tiercel.indexer.service import IndexerService
from tiercel.indexer.settings import IndexerSettings
from tiercel.messages.execution_event import ExecutionEvent
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.queue.memory import MemoryBackend
from tiercel.repository.memory import MemoryRepository
from tiercel.runtime.adapters import Adapters
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage.local import LocalStorage
from tiercel.webserver.app import build
from tiercel.webserver.settings import WebserverSettings

BASE = "/api/v1/main"


class Stage:
    """The API, and what lies behind it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.backend = MemoryBackend()
        self.repository = MemoryRepository()
        self.definitions = MemoryDefinitions()
        self.storage = LocalStorage(folder / "storage", durable=False)
        self.adapters = Adapters(
            queue=self.backend,
            storage=self.storage,
            secrets=EnvironmentSecrets({"SECRET_KEY": "aG9vaw=="}),
            statestore=self.backend,
            leases=self.backend,
            definitions=self.definitions,
            repository=self.repository,
        )
        self.app = build(self.adapters, WebserverSettings(**settings))
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://tiercel", timeout=PATIENCE_S)

    async def call(self, method: str, path: str, status: int = 200, **request: Any) -> Any:
        """Send a request below the tenant, check the status, return the answer's JSON."""
        response = await self.http.request(method, path if path.startswith("/") else f"{BASE}/{path}", **request)
        assert status == response.status_code, response.text
        return response.json() if response.content and "json" in response.headers["content-type"] else response.text

    async def events(self) -> list[ExecutionEvent]:
        """Return the events that were sent and that nobody has decided."""
        found = await self.backend.read(EXECUTION_EVENT, range(self.backend.partitions), count=1000)
        return [delivery.message for delivery in found if delivery.message is not None]

    async def close(self) -> None:
        await self.http.aclose()
        await self.app.api.close()


@contextlib.asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[None]:
    """Let an executor and an indexer work on the stage."""
    indexer = IndexerService(stage.adapters, IndexerSettings(linger_s=0.0))
    async with ExecutorService(stage.adapters), indexer:
        yield
