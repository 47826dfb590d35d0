"""One standalone server for all acceptance tests, and a client of its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tiercel.cli.api import Api
from tiercel.testing.server import StandaloneServer


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, queue_settings: Callable[[], dict[str, str]]
) -> Iterator[StandaloneServer]:
    with StandaloneServer(tmp_path_factory.mktemp("acceptance"), environment=queue_settings()) as server:
        yield server


@pytest.fixture
async def api(server: StandaloneServer) -> AsyncIterator[Api]:
    api = Api(server.url)
    yield api
    await api.close()
