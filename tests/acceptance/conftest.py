"""
One standalone server for all acceptance tests, and a client of its API.

A module whose tests hurt the server asks for `installation`: a server of its own, with what is behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.acceptance.installation import Installation
from tiercel.cli.api import RemoteServer
from tiercel.testing.server import StandaloneServer


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, queue_settings: Callable[[], dict[str, str]]
) -> Iterator[StandaloneServer]:
    with StandaloneServer(tmp_path_factory.mktemp("acceptance"), environment=queue_settings()) as server:
        yield server


@pytest.fixture
async def api(server: StandaloneServer) -> AsyncIterator[RemoteServer]:
    api = RemoteServer(server.url)
    yield api
    await api.close()


@pytest.fixture(scope="module")
def environment(queue_settings: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return the settings of the module's own server."""
    return queue_settings()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[StandaloneServer]:
    with StandaloneServer(tmp_path_factory.mktemp("own"), environment=environment) as server:
        yield server


@pytest.fixture
async def installation(own_server: StandaloneServer) -> AsyncIterator[Installation]:
    """The server, and afterwards the proof that no process of it has ended but, maybe, PostgreSQL."""
    before = _services(own_server)
    installation = Installation(own_server)
    yield installation
    await installation.close()
    assert before == _services(own_server)


def _services(server: StandaloneServer) -> dict[str, int]:
    return {name: pid for name, pid in server.processes().items() if name != "postgres"}
