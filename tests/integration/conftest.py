"""Fixtures: executors on a queue and a state store in memory, and on PostgreSQL; a worker on a queue in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.backends import MemoryContract, PostgresContract
from tests.contract.conftest import postgres_database, postgres_uri
from tests.integration.api_stage import Stage
from tests.integration.worker_stage import World
from tests.integration.workshop import Workshop

__all__ = ["postgres_database", "postgres_uri"]


@pytest.fixture(params=["memory", "postgres"])
async def workshop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Workshop]:
    """Yield the surroundings of executors."""
    if request.param == "memory":
        backend: MemoryContract | PostgresContract = MemoryContract()
    else:
        backend = await PostgresContract.open(request.getfixturevalue("postgres_database"))
    yield Workshop(backend, tmp_path)
    await backend.close()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Yield a webserver with an executor and an indexer behind it, in memory."""
    made = Stage(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Yield a worker that works, with its queue and its storage."""
    made = World(tmp_path)
    async with made.worker:
        yield made
