"""The PostgreSQL server that Tiercel starts for itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tiercel.errors import Unavailable
from tiercel.runtime.embedded import HISTORY_DATABASE, EmbeddedPostgres


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("embedded")) as server:
        yield server


def value(uri: str, query: str) -> object:
    with psycopg.connect(uri, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_when_started_both_databases_can_be_used(server: EmbeddedPostgres) -> None:
    """Queue and state live in one database, history in another."""
    names = [value(server.uri(name), "SELECT current_database()") for name in ("tiercel", HISTORY_DATABASE)]

    assert ["tiercel", "tiercel_history"] == names


def test_the_data_folder_says_where_the_socket_is(server: EmbeddedPostgres) -> None:
    """For tools beside the server; it is that of the address."""
    folder = (server.data_dir / "postgres.socket").read_text()

    assert server.uri().endswith(f"?host={folder}")


def test_durability_is_never_traded_for_speed(server: EmbeddedPostgres) -> None:
    """fsync, synchronous_commit and full_page_writes stay on."""
    switches = [value(server.uri(), f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")]

    assert ["on", "on", "on"] == switches


def test_a_second_server_on_the_same_folder_is_refused(server: EmbeddedPostgres) -> None:
    """The message names the folder and what to do."""
    with pytest.raises(Unavailable, match="in use by another server"):
        EmbeddedPostgres(server.data_dir).start()


def test_what_was_committed_survives_a_power_cut(server: EmbeddedPostgres) -> None:
    """A server that ends without a checkpoint comes back with every commit, at the same address."""
    uri = server.uri()
    with psycopg.connect(uri) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    server.restart(immediately=True)

    assert 42 == value(uri, "SELECT answer FROM kept")


def test_the_server_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """Nothing is left running, and the folder can be used again."""
    program = (
        "import sys; from pathlib import Path; from tiercel.runtime.embedded import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.start(); print(server.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())

    owner.send_signal(signal.SIGKILL)
    owner.wait()

    with EmbeddedPostgres(tmp_path) as successor:
        assert successor.pid not in (None, pid)
        assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
