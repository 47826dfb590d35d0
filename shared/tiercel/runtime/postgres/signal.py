"""
Signals between processes over NOTIFY and LISTEN: one sending and one listening connection a process.

At rest a signal leaves in the same flush as the transaction that it tells of, right behind its commit. Under load what
is sent within a few milliseconds travels together, over the notifier's connection. Signals are hints: after the
connection was lost everybody is woken once, because some may have been missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import psycopg
import tenacity

from tiercel.runtime.postgres.array import TextColumn, texts
from tiercel.runtime.postgres.batch import Batch
from tiercel.runtime.postgres.pool import Connection, connect

log = logging.getLogger(__name__)

COALESCE_S: Final = 0.0025
"""Between two signals under load: with 16 clients NOTIFY in every transaction costs five sixths of the commits."""
BURST: Final = 10
"""Signals that may go out at once after a rest: an execution of a few tasks then never waits for the next turn."""
RECONNECT_MAX_S: Final = 2.0
"""Between two tries to connect, at most: until then nobody is woken, and readers look by themselves."""
NOTIFY: Final = (
    b"SELECT pg_notify(n.channel, n.payload) FROM unnest(%(channels)s, %(payloads)s) AS n (channel, payload)"
)

OnSignal = Callable[[str, "frozenset[int] | None", str], None]
"""Called with a channel, the partitions that are meant, None for all, and what the signal carries."""
CARGO: Final = "\x1d"
"""Stands between the partitions of a signal and what it carries."""


async def _connected(uri: str, name: str, *, prompt: bool = False) -> Connection:
    """Open a connection, trying until it succeeds."""
    attempts = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(psycopg.OperationalError),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=RECONNECT_MAX_S),
    )
    connection: Connection = await attempts(connect, uri, name=name, prompt=prompt)
    return connection


class Notifier:
    """Sends signals, coalesced."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._pending: dict[str, set[int] | None] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.backend: int | None = None
        """The server's process that sends for us: what comes from it is our own."""
        self._is_sending = False
        self._credit = float(BURST)
        self._counted_at = 0.0

    @property
    def can_send_now(self) -> bool:
        """True when `may_send_now` would say so."""
        self._count()
        return self._credit >= 1

    def may_send_now(self) -> bool:
        """
        Tell whether the caller may send its signals itself, with its commit; it then must.

        False when many have gone out lately: then they belong to `send`.
        """
        if not self.can_send_now:
            return False
        self._credit -= 1
        return True

    @property
    def is_quiet(self) -> bool:
        """True when nothing that was given to `send` is still on its way."""
        return not self._pending and not self._is_sending

    def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        self._credit = min(float(BURST), self._credit + (now - self._counted_at) / COALESCE_S)
        self._counted_at = now

    def send(self, channel: str, partitions: Iterable[int] | None) -> None:
        """Send a signal soon, about these partitions or all."""
        if partitions is None:
            self._pending[channel] = None
        else:
            known = self._pending.setdefault(channel, set())
            if known is not None:
                known.update(partitions)
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="postgres.notifier")

    async def close(self) -> None:
        """Stop sending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            connection = await _connected(self._uri, "tiercel notifier", prompt=True)
            self.backend = connection.info.backend_pid
            try:
                await self._send_all(connection)
            except psycopg.Error as error:
                log.warning("signals cannot be sent: %s", error, extra={"action": "notifier_lost"})
            finally:
                await connection.close()

    async def _send_all(self, connection: Connection) -> None:
        while True:
            await self._wanted.wait()
            self._count()
            if self._credit < 1:
                await asyncio.sleep((1 - self._credit) * COALESCE_S)  # one signal serves all commits of this while
            self._credit -= 1
            self._wanted.clear()
            pending, self._pending = self._pending, {}
            self._is_sending = True
            try:
                await Batch([(NOTIFY, signals(pending))]).run(connection)
            except BaseException:  # cancelled too: what was not sent is sent again
                for channel, parts in pending.items():  # sent again: a signal may come twice, never not at all
                    self.send(channel, parts)
                raise
            finally:
                self._is_sending = False


class Listener:
    """Hears signals of other processes."""

    def __init__(
        self, uri: str, is_own: Callable[[int], bool], on_signal: OnSignal, on_gap: Callable[[], None]
    ) -> None:
        self._uri = uri
        self._is_own = is_own
        self._on_signal = on_signal
        self._on_gap = on_gap
        self._wanted: set[str] = set()
        self._active: set[str] = set()
        self._changed = asyncio.Event()
        self._heard = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def hears(self, channel: str) -> bool:
        """Tell whether signals on this channel arrive from now on."""
        return channel in self._active

    async def hear(self, channel: str, timeout: float) -> None:
        """Return when the channel is heard, or after `timeout` seconds when the server does not answer."""
        self._wanted.add(channel)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="postgres.listener")
        async with self._heard:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):  # the caller says how long; it then polls
                    await self._heard.wait_for(lambda: channel in self._active)

    async def close(self) -> None:
        """Hear nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            connection = await _connected(self._uri, "tiercel listener")
            try:
                await self._listen(connection)
            except psycopg.Error as error:
                log.warning("signals are not heard: %s", error, extra={"action": "listener_lost"})
            finally:
                self._active.clear()
                await connection.close()

    async def _listen(self, connection: Connection) -> None:
        loop, lost = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        socket = connection.fileno()  # asked for now: a connection that is lost no longer knows
        connection.add_notify_handler(lambda sent: self._hear(sent.channel, sent.payload, sent.pid))
        self._changed.set()
        while not lost.done():
            self._changed.clear()
            await self._listen_to(connection, self._wanted - self._active)
            loop.add_reader(socket, self._read, connection, socket, lost)
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({lost, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                loop.remove_reader(socket)
        lost.result()

    async def _listen_to(self, connection: Connection, channels: set[str]) -> None:
        for channel in sorted(channels):
            await connection.execute(f'LISTEN "{channel}"'.encode(), prepare=False)
        async with self._heard:
            self._active |= channels
            self._heard.notify_all()
        if channels:
            self._on_gap()

    def _read(self, connection: Connection, socket: int, lost: asyncio.Future[None]) -> None:
        """Take what the socket has; called by the loop."""
        try:
            connection.pgconn.consume_input()
            while (sent := connection.pgconn.notifies()) is not None:
                self._hear(sent.relname.decode(), sent.extra.decode(), sent.be_pid)
        except psycopg.Error as error:
            asyncio.get_running_loop().remove_reader(socket)
            if not lost.done():
                lost.set_exception(error)

    def _hear(self, channel: str, said: str, sender: int) -> None:
        if not self._is_own(sender):
            named, _, cargo = said.partition(CARGO)
            self._on_signal(channel, frozenset(map(int, named.split(","))) if named else None, cargo)


def signals(channels: Mapping[str, Iterable[int] | None]) -> dict[str, TextColumn]:
    """Return the parameters of NOTIFY."""
    payloads = [payload(partitions) for partitions in channels.values()]
    return {"channels": texts(list(channels)), "payloads": texts(payloads)}


def payload(partitions: Iterable[int] | None) -> str:
    """Write the partitions; an empty text means all."""
    return ",".join(map(str, sorted(partitions))) if partitions else ""
