"""Each process started alone, against a PostgreSQL server by its address."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.patience import PATIENCE_S, look_until
from tiercel.cli.api import RemoteServer
from tiercel.cli.live import LiveView
from tiercel.cli.main import SERVICES
from tiercel.runtime.embedded import EmbeddedPostgres
from tiercel.testing.server import free_ports

FLOW = """\
id: alone
namespace: acceptance
tasks:
  - id: one
    type: io.kestra.plugin.core.debug.Return
    format: "1"
"""
COMMAND = (sys.executable, "-m", "tiercel.cli.main")


class Cluster:
    """The five processes, by name, and where the API is."""

    def __init__(self, processes: dict[str, subprocess.Popen[bytes]], url: str) -> None:
        self.processes = processes
        self.url = url


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("processes")
    port, management = free_ports()
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        common = ["--postgres", postgres.uri(), "--data", str(folder / "data")]
        migrated = subprocess.run([*COMMAND, "migrate", *common], check=True, capture_output=True, text=True)
        assert "applied 0001" in migrated.stdout
        processes = {
            name: subprocess.Popen(
                [*COMMAND, "server", name, *common, "--port", str(port), "--management-port", str(management + number)],
                stdout=stack.enter_context((folder / f"{name}.log").open("wb")),
                stderr=subprocess.STDOUT,
            )
            for number, name in enumerate(SERVICES)
        }
        for process in processes.values():
            stack.callback(process.kill)
        for number in range(len(SERVICES)):
            await_ready(f"http://127.0.0.1:{management + number}/health/readiness")
        yield Cluster(processes, f"http://127.0.0.1:{port}")


def await_ready(url: str) -> None:
    def says_so() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url).status_code == 200
        return False

    look_until(says_so, f"{url} to be ready")


async def test_processes_that_were_started_alone_work_together(cluster: Cluster) -> None:
    """All that they share is the database and the folder of files."""
    api = RemoteServer(cluster.url)
    await api.put_flow(FLOW)
    started = await api.start("acceptance", "alone", {})

    execution = await LiveView(api, show_logs=False).follow(started["id"])

    await api.close()
    assert "SUCCESS" == execution["state"]["current"]


def test_each_process_stops_cleanly_when_asked(cluster: Cluster) -> None:
    """SIGTERM drains; the exit code is 0."""
    for process in cluster.processes.values():
        process.send_signal(signal.SIGTERM)

    codes = {name: process.wait(PATIENCE_S) for name, process in cluster.processes.items()}

    assert dict.fromkeys(SERVICES, 0) == codes


def test_a_second_migration_has_nothing_to_do(tmp_path: Path) -> None:
    """Migrating twice is harmless."""
    with EmbeddedPostgres(tmp_path) as postgres:
        said = [
            subprocess.run(
                [*COMMAND, "migrate", "--postgres", postgres.uri()], check=True, capture_output=True, text=True
            ).stdout
            for _ in range(2)
        ]

    assert "Everything is up to date.\n" == said[1]
