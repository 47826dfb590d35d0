"""
From settings to adapters: the one place that knows which backends exist.

A service is given what its card allows and nothing else: what a worker has not got, a worker cannot touch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tiercel.definitions.memory import MemoryDefinitions
from tiercel.definitions.postgres import PostgresDefinitions
from tiercel.errors import InvalidSettings, Unavailable
from tiercel.queue.memory import MemoryBackend
from tiercel.queue.postgres import PostgresQueue
from tiercel.repository.memory import MemoryRepository
from tiercel.repository.postgres import PostgresRepository
from tiercel.runtime import retry
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.health import Check
from tiercel.runtime.postgres import migration
from tiercel.runtime.postgres.pool import PostgresPool
from tiercel.runtime.settings import Settings
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.statestore.postgres import PostgresLeases, PostgresStateStore
from tiercel.storage.local import LocalStorage

CARDS: Final[Mapping[str, frozenset[str]]] = {
    "executor": frozenset({"statestore", "leases", "definitions", "repository"}),
    "indexer": frozenset({"leases", "repository"}),
    "scheduler": frozenset({"statestore", "leases", "definitions"}),
    "webserver": frozenset({"statestore", "definitions", "repository"}),
    "worker": frozenset(),
}
"""What each service may reach beside queue, storage and secrets."""
START_TIMEOUT_S: Final = 60.0
"""How long a starting process waits for its database."""


def in_memory(settings: Settings) -> Adapters:
    """Return adapters for all services in one process; only files outlive it."""
    backend = MemoryBackend(partitions=settings.queue.partitions)
    return Adapters(
        queue=backend,
        statestore=backend,
        leases=backend,
        definitions=MemoryDefinitions(),
        repository=MemoryRepository(),
        storage=LocalStorage(settings.storage_path),
        secrets=EnvironmentSecrets(),
    )


async def connect(service: str, settings: Settings, stack: AsyncExitStack) -> tuple[Adapters, dict[str, Check]]:
    """Return the adapters of a service and the checks of its health; the stack closes them."""
    card = CARDS[service]
    pool = PostgresPool(_queue_url(settings), size=settings.postgres.pool_max, name=f"tiercel {service}")
    stack.push_async_callback(pool.close)
    await _await_server(pool)
    queue = PostgresQueue(pool, partitions=settings.queue.partitions)
    stack.push_async_callback(queue.close)
    adapters = Adapters(queue=queue, storage=LocalStorage(settings.storage_path), secrets=EnvironmentSecrets())
    if "statestore" in card:
        adapters.statestore = PostgresStateStore(pool, queue)
    if "leases" in card:
        adapters.leases = PostgresLeases(pool, queue)
    if "definitions" in card:
        adapters.definitions = PostgresDefinitions(pool)
    if "repository" in card:
        adapters.repository = PostgresRepository(history_url(settings))
        stack.push_async_callback(adapters.repository.close)
    return adapters, {"postgres": _Ping(pool)}


async def migrate(settings: Settings) -> list[str]:
    """Bring all tables up to date; return the names of the migrations that were run."""
    applied = [done.name for done in await migration.migrate(_queue_url(settings))]
    repository = PostgresRepository(history_url(settings))
    try:
        applied += await repository.migrate()
    finally:
        await repository.close()
    return applied


def migrate_now(settings: Settings) -> list[str]:
    """Do the same in an event loop of its own."""
    return asyncio.run(migrate(settings))


def history_url(settings: Settings) -> str:
    """Return where history goes: by default the database `<name>_history` of the same server."""
    if settings.repository.url is not None:
        return settings.repository.url
    parts = urlsplit(_queue_url(settings))
    return urlunsplit(parts._replace(path=f"{parts.path}_history"))


def _queue_url(settings: Settings) -> str:
    if settings.postgres.url is None:
        raise InvalidSettings("'postgres.url' is not set: this process does not know where PostgreSQL is.")
    return settings.postgres.url


async def _await_server(pool: PostgresPool) -> None:
    async for attempt in retry.start("PostgreSQL", START_TIMEOUT_S):
        with attempt:
            await pool.fetch(b"SELECT 1")


class _Ping:
    """Asks the database whether it is there."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def __call__(self) -> str | None:
        try:
            await self._pool.fetch(b"SELECT 1")
        except Unavailable as error:
            return str(error)
        return None
