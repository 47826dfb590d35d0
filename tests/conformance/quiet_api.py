"""The API as a task sees it of an installation where nothing runs."""

from __future__ import annotations

import httpx

from tiercel.client.http import HttpApiClient
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.queue.memory import MemoryBackend
from tiercel.repository.memory import MemoryRepository
from tiercel.runtime.adapters import Adapters
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage.local import LocalStorage
from tiercel.webserver.app import build


def quiet_api(storage: LocalStorage, definitions: MemoryDefinitions) -> HttpApiClient:
    """Return the API of an installation that has these flows and files, and no executions."""
    backend = MemoryBackend()
    adapters = Adapters(
        queue=backend,
        storage=storage,
        secrets=EnvironmentSecrets({}),
        statestore=backend,
        definitions=definitions,
        repository=MemoryRepository(),
    )
    transport = httpx.ASGITransport(app=build(adapters), raise_app_exceptions=False)
    return HttpApiClient("http://tiercel", transport=transport)
