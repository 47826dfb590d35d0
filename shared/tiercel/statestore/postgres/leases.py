"""
Leases in PostgreSQL: rows with a token, renewed by the database's time.

They have a connection of their own: a renewal must not wait behind the batches whose right to write it keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tiercel.queue.base import Lease
from tiercel.queue.postgres.node import PostgresNode
from tiercel.runtime.postgres.pool import PostgresPool
from tiercel.runtime.postgres.statement import Statements
from tiercel.statestore.base import SINGLE
from tiercel.statestore.memory_leases import TTL_DEFAULT_S

SQL: Final = Statements("tiercel.statestore.postgres", "lease.sql")


class PostgresLeases:
    """Who owns which partition."""

    def __init__(self, node: PostgresNode) -> None:
        self._node = node
        self._pool = PostgresPool(node.uri, size=1, name="tiercel leases")
        self._ttl_s: dict[str, float] = {}

    async def announce(self, service: str, instance: str, *, level: int, draining: bool = False) -> None:
        """Say that this instance lives."""
        await self._pool.run(
            SQL["announce"], {"service": service, "me": instance, "level": level, "draining": draining}
        )

    async def take(self, service: str, instance: str, *, level: int, ttl_s: float) -> list[Lease]:
        """Renew, and take what is free up to the fair share, in one transaction."""
        about = {"service": service, "me": instance, "level": level, "ttl": float(ttl_s)}
        async with self._pool.connection() as connection:
            if service not in self._ttl_s:
                count = 1 if service in SINGLE else self._node.partitions
                await connection.execute(SQL["prepare"], {"service": service, "partitions": count})
            self._ttl_s[service] = float(ttl_s)
            async with connection.pipeline():
                await connection.execute(SQL["renew"], about)
                await connection.execute(SQL["take"], about)
                cursor = await connection.execute(SQL["mine"], about, binary=True)
            rows = await cursor.fetchall()
        return [
            Lease(service=service, partition=part, token=token, crashes=crashes, suspect=suspect)
            for part, token, crashes, suspect in rows
        ]

    async def surplus(self, service: str, instance: str) -> list[int]:
        """Return what is above the fair share, and what needs a newer level."""
        about = {"service": service, "me": instance, "ttl": self._ttl_s.get(service, TTL_DEFAULT_S)}
        return [part for (part,) in await self._pool.fetch(SQL["surplus"], about)]

    async def release(self, service: str, instance: str, partitions: Sequence[int]) -> None:
        """Give partitions back at once."""
        if partitions:
            await self._pool.run(SQL["release"], {"service": service, "me": instance, "parts": list(partitions)})
            self._node.announce({_signal(service): None})

    async def leave(self, service: str, instance: str) -> None:
        """Release everything and forget the instance."""
        async with self._pool.connection() as connection, connection.pipeline():
            await connection.execute(SQL["release_all"], {"service": service, "me": instance})
            await connection.execute(SQL["leave"], {"service": service, "me": instance})
        self._node.announce({_signal(service): None})

    async def expire(self, service: str, instance: str) -> None:
        """Free what a dead instance owns, and forget it."""
        async with self._pool.connection() as connection, connection.pipeline():
            await connection.execute(SQL["expire"], {"service": service, "me": instance})
            await connection.execute(SQL["leave"], {"service": service, "me": instance})
        self._node.announce({_signal(service): None})

    async def suspect(self, lease: Lease, message_id: int | None) -> None:
        """Write the message into the lease."""
        await self._pool.run(
            SQL["suspect"],
            {"service": lease.service, "part": lease.partition, "token": lease.token, "message": message_id},
        )

    async def changed(self, service: str, timeout: float) -> None:
        """Wait for partitions that were given back."""
        await self._node.wait(_signal(service), timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()
        await self._node.close()


def _signal(service: str) -> str:
    return f"lease.{service}"
