"""Connections to the history database, and the translation of what goes wrong with them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from tiercel.errors import Refused, Unavailable
from tiercel.runtime.postgres import metrics
from tiercel.runtime.postgres.pool import is_silent, setting_statement

_NAME: Final = "history"
_SESSION: Final[Mapping[str, str]] = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",
    "timezone": "UTC",
}
"""A search that takes longer is not worth its load; nothing may sit in a transaction."""
_CONNECT_TIMEOUT_S: Final = 10.0
"""How long a search waits for a connection that is free."""


class Pool:
    """A few connections, opened when they are first needed."""

    def __init__(self, uri: str, *, size_max: int = 4) -> None:
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            uri,
            min_size=0,
            max_size=size_max,
            open=False,
            timeout=_CONNECT_TIMEOUT_S,
            check=_refuse_ended,
            configure=_configure,
            kwargs={"autocommit": True, "tcp_user_timeout": 10_000, "keepalives_idle": 5},
            name=_NAME,
        )
        metrics.POOL_SIZE.labels(_NAME).set(size_max)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Lend a connection (autocommit); raise Unavailable when there is none or it breaks."""
        if self._pool.closed:
            await self._pool.open()
        try:
            async with self._pool.connection() as connection:
                began = time.perf_counter()
                with metrics.POOL_LENT.labels(_NAME).track_inprogress():
                    yield connection
                metrics.QUERY_SECONDS.labels(_NAME).observe(time.perf_counter() - began)
        except psycopg.errors.QueryCanceled as error:
            metrics.FAILURES.labels(_NAME).inc()
            raise Unavailable(
                "A query of the history took longer than 30 s and was given up; narrow it by namespace or time."
            ) from error
        except psycopg.errors.InvalidRegularExpression as error:
            raise Refused(
                f"A filter is not a regular expression that PostgreSQL knows: {error.diag.message_primary}."
            ) from error
        except (PoolTimeout, PoolClosed, psycopg.OperationalError, psycopg.InterfaceError) as error:
            metrics.FAILURES.labels(_NAME).inc()
            raise Unavailable(f"Cannot reach the history database: {error}; is PostgreSQL running?") from error

    async def rows(self, statement: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows."""
        async with self.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall()

    async def close(self) -> None:
        await self._pool.close()


async def _configure(connection: AsyncConnection[Any]) -> None:
    await connection.execute(setting_statement(_SESSION), prepare=False)


async def _refuse_ended(connection: AsyncConnection[Any]) -> None:
    if not is_silent(connection):
        await connection.close()  # else the pool would offer it again
        raise psycopg.OperationalError("The server has ended the connection while it was idle.")
