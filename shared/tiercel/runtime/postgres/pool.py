"""
Connections to one database, shared by the coroutines of a process.

A call on a server that is away fails at once with `Unavailable`; it is the caller who waits and tries again, so that
what waits is visible and can be stopped. A connection that broke is dropped with all that idle beside it, and the next
call opens a new one: there is no background work, and nothing to wait for when the server is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import time
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import psycopg
from psycopg import conninfo
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap
from psycopg.pq import ConnStatus, PipelineStatus, TransactionStatus

from tiercel.errors import Unavailable
from tiercel.runtime.postgres import metrics
from tiercel.runtime.postgres.array import ADAPTERS
from tiercel.runtime.postgres.batch import Batch
from tiercel.runtime.postgres.failure import translated
from tiercel.runtime.postgres.prompt import PromptConnection

Connection = PromptConnection

QUEUE_SESSION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timezone": "UTC",
        "jit": "off",
        # Planning a statement anew costs more than running it, and every plan is the same: by the index.
        "plan_cache_mode": "force_generic_plan",
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "5s",
        "client_connection_check_interval": "2s",
        # Every statement of queue and state is made for an index. A plan that was cached while a table was empty must
        # not scan it when it is full.
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }
)
"""Settings of sessions that work on queue and state: nothing may take long, no plan may depend on statistics."""
HASTY_SESSION: Final[Mapping[str, str]] = MappingProxyType({**QUEUE_SESSION, "synchronous_commit": "off"})
"""The same for transactions that do not wait for the disk, unless they ask for it by `WAIT_FOR_DISK`."""
_SERVER_COMMIT: Final = "tiercel.synchronous_commit"
WAIT_FOR_DISK: Final = f"set_config('synchronous_commit', current_setting('{_SERVER_COMMIT}'), true)".encode()
"""In a transaction of any session: its commit waits as this server is set to."""
TRANSACTION_TIMEOUT: Final = "15s"
"""No transaction of the queue lasts longer (PostgreSQL 17 and later); broadcasts are re-read for twice as long."""
PLAIN_SESSION: Final[Mapping[str, str]] = MappingProxyType({"timezone": "UTC"})
"""Settings for work that may take long, such as migrations."""
_SOCKET: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
)
"""A server that is gone without a word is noticed within some ten seconds."""
SIZE_DEFAULT: Final = 4
"""Statements take milliseconds: a few connections carry thousands of calls a second."""
ACQUIRE_TIMEOUT_S: Final = 10.0
"""How long a statement waits for a connection: the pool is full for this long only when the server hangs."""


class _Context:
    """Tells the library which adapters to use."""

    adapters: AdaptersMap = ADAPTERS
    connection: None = None


async def connect(
    uri: str, session: Mapping[str, str] = QUEUE_SESSION, *, name: str = "tiercel", prompt: bool = False
) -> Connection:
    """Open one connection with these session settings, in autocommit mode; a `prompt` one waits in place at first."""
    settings = {**_SOCKET, **conninfo.conninfo_to_dict(uri)}
    context: AdaptContext = _Context()
    connection = await PromptConnection.connect(
        conninfo.make_conninfo("", **settings),
        autocommit=True,
        prepare_threshold=None,  # batches prepare; the library would drop their statements at every ROLLBACK
        context=context,
        application_name=name,
    )
    connection.is_prompt = prompt
    wanted = dict(session)
    if "statement_timeout" in session and connection.info.server_version >= 170000:
        wanted["transaction_timeout"] = TRANSACTION_TIMEOUT
    try:
        await connection.execute(setting_statement(wanted), prepare=False)
    except BaseException:  # cancelled too: nobody else knows the connection
        await connection.close()
        raise
    return connection


def setting_statement(session: Mapping[str, str]) -> bytes:
    """Return the statement that gives a session its settings; poolers refuse them as options of a connection."""
    kept = f"set_config('{_SERVER_COMMIT}', current_setting('synchronous_commit'), false)"
    given = [f"set_config('{key}', '{value}', false)" for key, value in session.items()]
    return ("SELECT " + ", ".join([kept, *given])).encode()


class PostgresPool:
    """At most `size` connections to one database; they are opened when needed."""

    def __init__(
        self,
        uri: str,
        *,
        size: int = SIZE_DEFAULT,
        session: Mapping[str, str] = QUEUE_SESSION,
        name: str = "tiercel",
        prompt: bool = False,
    ) -> None:
        self.uri = uri
        self._prompt = prompt
        self._session = session
        self._name = name
        self._idle: list[Connection] = []
        self._backends: set[int] = set()
        self._free = asyncio.Semaphore(size)
        self._closed = False
        self.losses = 0
        """How often a connection was lost: what was committed without waiting for the disk may be lost with it."""
        pool = name.removeprefix("tiercel ")
        metrics.POOL_SIZE.labels(pool).set(size)
        self._lent = metrics.POOL_LENT.labels(pool)
        self._waiting = metrics.POOL_WAITING.labels(pool)
        self._failures = metrics.FAILURES.labels(pool)
        self._seconds = metrics.QUERY_SECONDS.labels(pool)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode; errors of the library leave the block as ours."""
        await self._acquire()
        connection: Connection | None = None
        self._lent.inc()
        began = time.perf_counter()
        try:
            connection = await self._rested() or await self._opened()
            yield connection
        except psycopg.Error as error:
            self._failures.inc()
            if connection is None or connection.pgconn.status == ConnStatus.BAD:
                self.losses += 1
                await self._drop_idle()
            raise translated(error) from error
        finally:
            try:
                if connection is not None:
                    await self._take_back(connection)
            finally:
                self._seconds.observe(time.perf_counter() - began)
                self._lent.dec()
                self._free.release()

    async def fetch(self, statement: bytes, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        async with self.connection() as connection:
            (rows,) = await Batch([(statement, parameters or {})]).rows(connection)
        return rows

    async def run(self, statement: bytes, parameters: Mapping[str, Any] | None = None) -> int:
        """Run one statement and return how many rows it touched."""
        async with self.connection() as connection:
            return (await connection.execute(statement, parameters)).rowcount

    def owns(self, backend: int) -> bool:
        """Tell whether a process of the server serves a connection of this pool."""
        return backend in self._backends

    async def close(self) -> None:
        """Close idle connections now, and those that are in use when they come back."""
        self._closed = True
        await self._drop_idle()

    async def _rested(self) -> Connection | None:
        """Return an idle connection; one on which the server has spoken unasked says goodbye, and is not used."""
        while self._idle:
            connection = self._idle.pop()
            if is_silent(connection):
                return connection
            self.losses += 1
            await self._drop(connection)
        return None

    async def _opened(self) -> Connection:
        connection = await connect(self.uri, self._session, name=self._name, prompt=self._prompt)
        self._backends.add(connection.info.backend_pid)
        return connection

    async def _drop(self, connection: Connection) -> None:
        self._backends.discard(connection.pgconn.backend_pid)
        await connection.close()

    async def _acquire(self) -> None:
        if self._closed:
            raise Unavailable("The connection pool is closed; the process is stopping.")
        if self._free.locked():
            self._waiting.inc()
            try:
                await self._acquire_late()
            finally:
                self._waiting.dec()
        else:
            await self._free.acquire()

    async def _acquire_late(self) -> None:
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):  # a full pool is told, not waited for without end
                await self._free.acquire()
        except TimeoutError as error:
            self._failures.inc()
            raise Unavailable("All connections to PostgreSQL are busy; is the server overloaded?") from error

    async def _take_back(self, connection: Connection) -> None:
        """Keep a connection that is at rest; anything else is in an unknown state and is closed."""
        status = connection.pgconn.transaction_status
        at_rest = status == TransactionStatus.IDLE and connection.pgconn.pipeline_status == PipelineStatus.OFF
        if at_rest and not self._closed:
            self._idle.append(connection)
        else:
            await self._drop(connection)

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await self._drop(connection)


def is_silent(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Tell, without asking the server, whether it has left an idle connection alone; a goodbye or an end is noise."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)
