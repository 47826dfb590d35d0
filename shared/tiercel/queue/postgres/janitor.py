"""
Cleaning up: one process at a time, the holder of the lease `janitor`, deletes old broadcasts and vacuums.

Autovacuum looks at a table once a minute at most; at thousands of messages a second the dead rows of a minute slow
every claim. A vacuum that cannot remove anything, because an old snapshot holds the rows back, is not repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from tiercel.errors import TiercelError, Unavailable
from tiercel.messages.topics import TOPICS, Route
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import SQL, table_of
from tiercel.runtime.postgres.pool import PLAIN_SESSION, PostgresPool
from tiercel.statestore.base import JANITOR, Leases

log = logging.getLogger(__name__)

PERIOD_S: Final = 5.0
"""Between two sweeps: more seldom, dead rows slow every claim at thousands of messages a second."""
TTL_S: Final = 30.0
"""Six sweeps: another process cleans when this one has died."""
DEAD_ROWS: Final = 20_000
"""Dead rows of a table from which on claims become slower."""
CLEAN_EVERY: Final = 12
"""Broadcasts and members are cleaned once a minute."""


class PostgresJanitor:
    """Sweeps the database of queue and state, from `start` to `close`."""

    def __init__(self, node: PostgresNode, leases: Leases, instance: str) -> None:
        self._node = node
        self._leases = leases
        self._instance = instance
        self._pool = PostgresPool(node.uri, size=1, session=PLAIN_SESSION, name="tiercel janitor")
        self._sweeps = 0
        self._horizons: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep in the background; instances that are not the janitor stand by."""
        self._task = asyncio.get_running_loop().create_task(self.run(), name="postgres.janitor")

    async def run(self) -> None:
        """Sweep every few seconds, until cancelled."""
        while True:
            try:
                await self.sweep()
            except TiercelError as error:  # cleaning can wait, whatever the reason
                log.warning("nothing was cleaned: %s", error, extra={"action": "sweep_failed"})
            await asyncio.sleep(PERIOD_S)  # age is the reason to sweep, and only time brings it

    async def sweep(self) -> bool:
        """Clean once; False when another process does it."""
        if not await self._leases.take(JANITOR, self._instance, level=1, ttl_s=TTL_S):
            return False
        if self._sweeps % CLEAN_EVERY == 0:
            for topic in TOPICS:
                if topic.route is Route.BROADCAST:
                    await self._pool.run(SQL.of("broadcast_clean", table_of(topic)))
            await self._pool.run(SQL["members_clean"])
        self._sweeps += 1
        for table, dead, horizon in await self._pool.fetch(SQL["bloat"], {"dead": DEAD_ROWS}):
            if self._horizons.get(table) == horizon:
                continue
            self._horizons[table] = horizon
            await self._pool.run(f"VACUUM (SKIP_LOCKED, TRUNCATE FALSE) {table}".encode())
            log.debug("vacuumed %s of %s dead rows", table, dead, extra={"action": "table_vacuumed"})
        return True

    async def close(self) -> None:
        """Stop, and give the lease back if the server answers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(Unavailable):  # it runs out by itself
            await self._leases.leave(JANITOR, self._instance)
        await self._pool.close()
