"""Poolers before PostgreSQL: one that pools sessions works, one that pools transactions is refused at start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg import conninfo

from backing.process import free_port
from backing.tools import Program
from tests.contract.samples import event
from tests.folders import let_through
from tests.patience import FOR_EVER_S, PATIENCE_S, look_until
from tiercel.errors import InvalidSettings
from tiercel.messages.topics import EXECUTION_EVENT, partition_of
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import PostgresQueue

CONFIGURATION = """\
[databases]
tiercel = host={host} {port} dbname={dbname} user={user} {password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
max_client_conn = 100
default_pool_size = 20
"""
Pooler = Callable[[str], str]


@pytest.fixture
def pooler(pgbouncer: Program, postgres_database: str, tmp_path: Path) -> Iterator[Pooler]:
    """Yield how a PgBouncer is started: from its mode to the address behind which the database is."""
    given = conninfo.conninfo_to_dict(postgres_database)
    port = f"port={given['port']}" if "port" in given else ""
    password = f"password={given['password']}" if "password" in given else ""
    host = str(given["host"])
    # It refuses to be root, and the socket of the embedded server is its user's alone.
    program = shutil.copy(pgbouncer.path, tmp_path)  # the cache may be closed to that user
    libraries = {}
    if pgbouncer.libraries is not None:
        libraries = {"LD_LIBRARY_PATH": str(shutil.copytree(pgbouncer.libraries, tmp_path / "libraries"))}
    user = Path(host).stat().st_uid if host.startswith("/") and os.geteuid() == 0 else None
    with ExitStack() as stack:

        def start(mode: str) -> str:
            listen = free_port()
            file = tmp_path / f"{mode}.ini"
            file.write_text(
                CONFIGURATION.format(
                    host=host,
                    port=port,
                    dbname=given["dbname"],
                    user=given["user"],
                    password=password,
                    listen=listen,
                    mode=mode,
                )
            )
            let_through(file)
            process = subprocess.Popen(
                [program, file], env={**os.environ, **libraries}, user=user,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _await_port(listen)
            return f"postgresql://tiercel@127.0.0.1:{listen}/tiercel"

        yield start


def _await_port(port: int) -> None:
    def listens() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    look_until(listens, f"PgBouncer to listen on {port}")


async def test_a_pooler_of_transactions_is_refused_with_the_remedy(pooler: Pooler) -> None:
    """Signals would be swallowed and sessions mixed, and nothing would say so."""
    address = pooler("transaction")

    for _ in range(5):
        with pytest.raises(InvalidSettings, match=r"pools transactions.*connect to PostgreSQL itself.*pool_mode"):
            await PostgresNode.open(address)


async def test_behind_a_pooler_of_sessions_messages_arrive_at_once(pooler: Pooler) -> None:
    """LISTEN works there, and sessions have their settings."""
    address = pooler("session")
    queues = [PostgresQueue(await PostgresNode.open(address)) for _ in range(2)]
    sender, reader = queues
    await reader.wait(EXECUTION_EVENT, 5)

    await sender.emit(event("a"))
    async with asyncio.timeout(PATIENCE_S):
        await reader.wait(EXECUTION_EVENT, FOR_EVER_S)
    found = await reader.read(EXECUTION_EVENT, [partition_of("a")], count=10)
    for queue in queues:
        await queue.close()

    assert 1 == len(found)
