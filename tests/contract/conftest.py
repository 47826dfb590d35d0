"""
A PostgreSQL for the contracts: the server that TIERCEL_TEST_POSTGRES names, else one of our own.

Each test module gets a database, each test empty tables.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import conninfo

from tests.contract.backends import KafkaContract, MemoryContract, PostgresContract
from tiercel.repository.base import Repository
from tiercel.repository.memory import MemoryRepository
from tiercel.repository.postgres import PostgresRepository
from tiercel.runtime.embedded import HISTORY_DATABASE, EmbeddedPostgres
from tiercel.runtime.postgres.migration import migrate


@pytest.fixture(scope="session")
def postgres_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Yield the address of each database of the server."""
    given = os.environ.get("TIERCEL_TEST_POSTGRES")
    if given:
        yield lambda database: conninfo.make_conninfo(given, dbname=database)
        return
    with EmbeddedPostgres(tmp_path_factory.mktemp("contract")) as server:
        yield server.uri


@pytest.fixture(scope="module")
def postgres_database(postgres_uri: Callable[[str], str]) -> Iterator[str]:
    """Yield the address of a migrated database."""
    name = f"contract_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_uri("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        with ThreadPoolExecutor(1) as thread:  # this fixture is also asked for while a loop runs
            thread.submit(lambda: asyncio.run(migrate(postgres_uri(name)))).result()
        yield postgres_uri(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def postgres(postgres_database: str) -> AsyncIterator[PostgresContract]:
    """Yield the PostgreSQL adapters on empty tables."""
    backend = await PostgresContract.open(postgres_database)
    yield backend
    await backend.close()


@pytest.fixture(scope="module")
def topic_prefix() -> str:
    """Return a prefix that no other module's topics have."""
    return f"contract_{uuid.uuid4().hex[:8]}_"


@pytest.fixture
async def kafka_contract(postgres_database: str, kafka: str, topic_prefix: str) -> AsyncIterator[KafkaContract]:
    """Yield the Kafka adapters on empty tables, at the ends of their topics."""
    contract = await KafkaContract.open_on(postgres_database, kafka, topic_prefix)
    yield contract
    await contract.close()


@pytest.fixture(params=["memory", "postgres", "kafka"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[MemoryContract | PostgresContract]:
    """Yield queue, state store and leases of one installation."""
    if request.param == "memory":
        made: MemoryContract | PostgresContract = MemoryContract()
    elif request.param == "kafka":
        made = await KafkaContract.open_on(
            request.getfixturevalue("postgres_database"),
            request.getfixturevalue("kafka"),
            request.getfixturevalue("topic_prefix"),
        )
    else:
        made = await PostgresContract.open(request.getfixturevalue("postgres_database"))
    yield made
    await made.close()


@pytest.fixture(scope="module")
def history_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Yield a server for histories."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("history")) as server:
        yield server


@pytest.fixture(params=["memory", "postgres"])
async def repository(request: pytest.FixtureRequest) -> AsyncIterator[Repository]:
    """Yield an empty history."""
    if request.param == "memory":
        yield MemoryRepository()
        return
    uri = request.getfixturevalue("history_server").uri(HISTORY_DATABASE)
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await connection.execute("DROP SCHEMA IF EXISTS tr CASCADE")
        await connection.execute("DROP TABLE IF EXISTS tiercel_history_migration")
    adapter = PostgresRepository(uri)
    await adapter.migrate()
    yield adapter
    await adapter.close()
