"""
From settings to adapters: the one place that knows which backends exist.

A service is given what its card allows and nothing else: what a worker has not got, a worker cannot touch.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from tiercel.client.http import HttpApiClient
from tiercel.definitions.base import FlowRow
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.definitions.postgres.definitions import PostgresDefinitions
from tiercel.definitions.revision import Parse
from tiercel.errors import InvalidSettings, Unavailable
from tiercel.flowspec.defaults import read_outer
from tiercel.flowspec.parse import parse_flow
from tiercel.model import ids
from tiercel.model.flow import Flow
from tiercel.queue.base import Queue
from tiercel.queue.memory import MemoryBackend
from tiercel.queue.postgres.janitor import PostgresJanitor
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import PostgresQueue
from tiercel.repository.memory import MemoryRepository
from tiercel.repository.postgres import PostgresRepository
from tiercel.runtime import internal_storage, retry
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.health import Check
from tiercel.runtime.postgres import migration
from tiercel.runtime.postgres.pool import PostgresPool
from tiercel.runtime.postgres.snapshot import OldestSnapshot
from tiercel.runtime.settings import Settings
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.statestore.postgres.leases import PostgresLeases
from tiercel.statestore.postgres.statestore import PostgresStateStore
from tiercel.storage.base import Storage

CARDS: Final[Mapping[str, frozenset[str]]] = {
    "executor": frozenset({"statestore", "leases", "definitions", "repository"}),
    "indexer": frozenset({"leases", "repository"}),
    "scheduler": frozenset({"statestore", "leases", "definitions"}),
    "webserver": frozenset({"statestore", "definitions", "repository"}),
    "worker": frozenset({"api"}),
}
"""What each service may reach beside queue, storage and secrets; the API is the webserver's."""
STORED: Final = frozenset({"statestore", "leases", "definitions", "repository"})
"""What is in PostgreSQL, whatever the queue is; who may reach none of it needs no database on Kafka."""
ANSWERING: Final = frozenset({"webserver"})
"""Services that somebody waits for: they say that a backend is away, where others wait for it."""
START_TIMEOUT_S: Final = 60.0
"""How long a starting process waits for a backend."""
IN_MEMORY_TIMEOUT_S: Final = 5.0
"""The same where somebody waits at a terminal."""


async def in_memory(settings: Settings, stack: AsyncExitStack) -> Adapters:
    """Return adapters for all services in one process; only files outlive it. The stack closes them."""
    storage, _ = await internal_storage.connect(settings, stack, patient=False, timeout_s=IN_MEMORY_TIMEOUT_S)
    backend = MemoryBackend(partitions=settings.queue.partitions)
    return Adapters(
        queue=backend,
        statestore=backend,
        leases=backend,
        definitions=MemoryDefinitions(parse=parser(settings)),
        repository=MemoryRepository(),
        storage=storage,
        secrets=EnvironmentSecrets(),
        api=api_client(settings),
    )


async def connect(service: str, settings: Settings, stack: AsyncExitStack) -> tuple[Adapters, dict[str, Check]]:
    """Return the adapters of a service and the checks of its health; the stack closes them."""
    card = CARDS[service]
    storage, checks = await internal_storage.connect(
        settings, stack, patient=service not in ANSWERING, timeout_s=START_TIMEOUT_S
    )
    if settings.queue.type == "kafka" and not card & STORED:
        queue, link = await _kafka().queue_without_database(service, settings, stack)
        adapters = Adapters(queue=queue, storage=storage, secrets=EnvironmentSecrets())
        checks = {"kafka": link.health, **checks}
    else:
        adapters, more = await _with_database(service, settings, storage, stack)
        checks = {**more, **checks}
    if "api" in card:
        adapters.api = api_client(settings)
        stack.push_async_callback(adapters.api.close)
    return adapters, checks


async def _with_database(
    service: str, settings: Settings, storage: Storage, stack: AsyncExitStack
) -> tuple[Adapters, dict[str, Check]]:
    """Return what stands on PostgreSQL."""
    card, node = CARDS[service], await _node(settings)
    snapshot = OldestSnapshot(node.pool)
    checks: dict[str, Check] = {"postgres": _Ping(node.pool), "snapshot": snapshot}
    on_kafka = settings.queue.type == "kafka"
    queue: Queue
    mail = None
    if on_kafka:
        queue, link, desk = await _kafka().queue_with_database(service, settings, node, stack)
        mail, checks["kafka"] = desk.mail, link.health
    else:
        queue = PostgresQueue(node)
        stack.push_async_callback(queue.close)
    adapters = Adapters(queue=queue, storage=storage, secrets=EnvironmentSecrets())
    if "statestore" in card:
        adapters.statestore = PostgresStateStore(node, mail)
    if "leases" in card:
        adapters.leases = leases = PostgresLeases(node)
        stack.push_async_callback(leases.close)
        if service == "executor":
            janitor = PostgresJanitor(node, leases, ids.new_id())
            stack.push_async_callback(janitor.close)
            janitor.start()
            stack.push_async_callback(snapshot.close)
            snapshot.start()
            if on_kafka:
                _kafka().dispatch(adapters, queue, link, node, stack)
    if "definitions" in card:
        adapters.definitions = definitions = PostgresDefinitions(node.uri, parse=parser(settings))
        stack.push_async_callback(definitions.close)
    if "repository" in card:
        adapters.repository = PostgresRepository(history_url(settings))
        stack.push_async_callback(adapters.repository.close)
    if on_kafka:
        stack.push_async_callback(desk.close)  # last, so that it is the first to be closed
    return adapters, checks


def api_client(settings: Settings) -> HttpApiClient:
    """Return the client of the API that a worker's tasks use."""
    own, basic = settings.api, settings.server.basic_auth
    username, password = own.username, own.password
    if username is None and own.token is None and basic.is_enabled:
        username, password = basic.username, basic.password
    return HttpApiClient(settings.api_url, username=username, password=password, token=own.token)


def _kafka() -> Any:
    """Import what speaks to Kafka; its client is an extra."""
    try:
        return importlib.import_module("tiercel.runtime.kafka")
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise InvalidSettings(
            "'queue.type: kafka' needs the package confluent-kafka; install Tiercel as tiercel[kafka]."
        ) from error


async def migrate(settings: Settings) -> list[str]:
    """Bring all tables and topics up to date, waiting a while for their servers; return what was run or made."""
    applied: list[str] = []
    async for attempt in retry.start("PostgreSQL", START_TIMEOUT_S):
        with attempt:
            applied += [done.name for done in await migration.migrate(_queue_url(settings))]
    repository = PostgresRepository(history_url(settings))
    try:
        async for attempt in retry.start("PostgreSQL", START_TIMEOUT_S):
            with attempt:
                applied += await repository.migrate()
    finally:
        await repository.close()
    if settings.queue.type == "kafka":
        applied += await _kafka().make_topics(settings, _queue_url(settings))
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


def parser(settings: Settings) -> Parse:
    """Return how stored flows are read: with the plugin defaults of this installation."""
    defaults = read_outer(settings.plugins.defaults)

    def parse(row: FlowRow) -> Flow:
        return parse_flow(row.source, tenant_id=row.tenant_id, revision=row.revision, defaults=defaults, strict=False)

    return parse


async def _node(settings: Settings) -> PostgresNode:
    """Connect to the queue's database, waiting a while for its server."""
    async for attempt in retry.start("PostgreSQL", START_TIMEOUT_S):
        with attempt:
            return await PostgresNode.open(
                _queue_url(settings),
                partitions=settings.queue.partitions,
                size=settings.postgres.pool_max,
                is_patient=settings.queue.type == "kafka",
            )
    raise Unavailable("PostgreSQL cannot be reached.")


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
