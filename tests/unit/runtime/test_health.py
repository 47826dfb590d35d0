"""The management port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tiercel.runtime.health import Concern, ManagementServer


class Backend:
    """A backend that can be away."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    async def check(self) -> str | None:
        return self.trouble


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def client(backend: Backend) -> AsyncIterator[httpx.AsyncClient]:
    server = ManagementServer("executor", {"postgres": backend.check}, ready=lambda: True)
    await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client
    await server.stop()


async def test_when_all_is_well_health_says_up(client: httpx.AsyncClient) -> None:
    """/health names each backend."""
    answer = await client.get("/health")

    assert (200, "UP") == (answer.status_code, answer.json()["details"]["postgres"]["status"])


async def test_a_lost_backend_makes_the_process_unhealthy_but_not_dead(
    client: httpx.AsyncClient, backend: Backend
) -> None:
    """/health is 503 with the reason, /health/liveness stays 200: a restart would not help."""
    backend.trouble = "Cannot reach PostgreSQL."

    health, liveness = await client.get("/health"), await client.get("/health/liveness")

    assert (503, 200) == (health.status_code, liveness.status_code)
    assert "Cannot reach PostgreSQL." == health.json()["details"]["postgres"]["details"]


async def test_a_concern_is_shown_and_the_process_stays_up(client: httpx.AsyncClient, backend: Backend) -> None:
    """An orchestrator must not restart or unroute what works; a person should look."""
    backend.trouble = Concern("A transaction of 45 s keeps dead rows.")

    health = await client.get("/health")

    assert (200, "UP") == (health.status_code, health.json()["status"])
    assert {"status": "WARNING", "details": "A transaction of 45 s keeps dead rows."} == health.json()["details"][
        "postgres"
    ]


async def test_metrics_are_in_the_format_of_prometheus(client: httpx.AsyncClient) -> None:
    """The process's own metrics are always there."""
    answer = await client.get("/metrics")

    assert "process_cpu_seconds_total" in answer.text


async def test_an_unknown_path_is_answered_with_the_known_ones(client: httpx.AsyncClient) -> None:
    """Nothing else is behind this port."""
    answer = await client.get("/")

    assert 404 == answer.status_code
