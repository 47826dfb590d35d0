"""
The start check for poolers: LISTEN and leases need a session of the server for each of our connections.

A pooler that lends a server process for one transaction only (PgBouncer's `pool_mode = transaction`) swallows signals
and mixes the settings of sessions, and nothing would say so: executions would just be slow. A connection without a
pooler is known by its process id, which the server tells when it begins and when it is asked; behind a pooler two
connections are compared.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from tiercel.errors import InvalidSettings
from tiercel.runtime.postgres.pool import Connection, connect

ROUNDS: Final = 3
"""A pooler may by chance give each connection the process that it had before."""


async def require_sessions(uri: str, connection: Connection) -> None:
    """Raise InvalidSettings when connections to this address do not have a session each."""
    if await _process(connection) == connection.info.backend_pid:
        return
    first = await connect(uri, name="tiercel start check")
    second = await connect(uri, name="tiercel start check")
    try:
        for _ in range(ROUNDS):
            before = await _process(first)
            async with second.transaction():  # whatever process serves it is taken until the block ends
                taken = await _process(second)
                after = await _process(first)
            if taken == before or before != after:
                raise InvalidSettings(_sentence(uri))
    finally:
        await first.close()
        await second.close()


async def _process(connection: Connection) -> int:
    """Return the server's process that answers now."""
    cursor = await connection.execute(b"SELECT pg_backend_pid()", prepare=False)
    row = await cursor.fetchone()
    assert row is not None, "SELECT without FROM has one row."
    return int(row[0])


def _sentence(uri: str) -> str:
    parts = urlsplit(uri)
    where = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    return (
        f"'postgres.url' leads to a pooler at '{where}' that pools transactions, and signals (LISTEN) and leases need "
        "sessions: connect to PostgreSQL itself, or set the pooler's mode to 'session' (PgBouncer: pool_mode)."
    )
