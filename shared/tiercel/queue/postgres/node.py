"""
What the adapters of one process share: the connection pool, the signals, and who waits for what.

Signals travel on one channel a topic, so that a process hears only of topics that it waits for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final

from tiercel.errors import InvalidSettings
from tiercel.messages.topics import PARTITIONS_DEFAULT, Topic
from tiercel.queue.postgres.sending import SQL
from tiercel.queue.wakeup import Wakeups
from tiercel.runtime.postgres.batch import Batch, Statement
from tiercel.runtime.postgres.pool import SIZE_DEFAULT, PostgresPool
from tiercel.runtime.postgres.pooling import require_sessions
from tiercel.runtime.postgres.signal import NOTIFY, Listener, Notifier

Touched = Mapping[str, Iterable[int] | None]
"""Names of topics with the partitions that got something; None for all."""

log = logging.getLogger(__name__)

_CHANNEL: Final = "tiercel_"
SOON_S: Final = 0.02
"""How long an announcement that nobody is eager for waits for company."""


ASYNC: Final = b"SELECT set_config('synchronous_commit', 'off', true)"
"""Makes the transaction that it is in not wait for the disk."""
ON_DISK: Final = b"SELECT pg_logical_emit_message(true, 'tiercel', '')"
"""A transaction that changes nothing, and waits for the disk: for all that was committed before, too."""


class Durability(Enum):
    """
    When a transaction is on disk (docs/adr/0019).

    All of it is one log: what follows from a transaction is never on disk without it.
    """

    FIRST = auto()
    """Before anybody sees it: for what has effects outside of this database."""
    BEHIND = auto()
    """Others go on with it at once; the caller waits: for what is promised to somebody outside."""
    LATER = auto()
    """Within a moment, or with the next one that waits: for what would be done again from what is on disk."""


class PostgresNode:
    """This process's place at the database of queue and state; `open` makes one."""

    def __init__(self, uri: str, partitions: int, *, size: int = SIZE_DEFAULT) -> None:
        self.uri = uri
        self.partitions = partitions
        self.pool = PostgresPool(uri, size=size, name="tiercel queue", prompt=True)
        self._wakeups = Wakeups()
        self._newer: set[tuple[str, int, int]] = set()
        self._later: dict[str, set[int] | None] = {}
        self._later_call: asyncio.TimerHandle | None = None
        self._notifier = Notifier(uri)
        self._listener = Listener(uri, self._is_own, self._on_signal, self._wakeups.announce_everything)

    @classmethod
    async def open(cls, uri: str, *, partitions: int = PARTITIONS_DEFAULT, size: int = SIZE_DEFAULT) -> PostgresNode:
        """Connect, and agree with the installation on the number of partitions."""
        node = cls(uri, partitions, size=size)
        async with node.pool.connection() as connection:
            await require_sessions(uri, connection)
        rows = await node.pool.fetch(SQL["layout"], {"partitions": partitions})
        if not rows:  # another process has fixed it meanwhile, in a transaction that the statement could not see yet
            rows = await node.pool.fetch(SQL["layout"], {"partitions": partitions})
        ((fixed, hashing),) = rows
        if fixed != partitions or hashing != "crc32":
            await node.close()
            raise InvalidSettings(
                f"This installation was made with {fixed} partitions by {hashing}, and the settings say {partitions} "
                f"by crc32; set partitions to {fixed}: it cannot be changed later."
            )
        return node

    async def commit(self, statements: Iterable[Statement], touched: Touched, durability: Durability) -> None:
        """
        Run statements as one transaction, and tell who waits for what it touches.

        They are told right behind the commit, in the same flush. Not inside of it: a transaction that notifies holds a
        lock of the whole server while it is flushed.
        """
        touched = self._with_later(touched)
        channels = {_CHANNEL + name: parts for name, parts in touched.items()}
        signals = self._notifier.at_once(channels) if channels else None
        batch = Batch()
        # Under load many share a flush to disk, and nothing is gained by telling of it earlier.
        is_ahead = durability is Durability.BEHIND and signals is not None
        if is_ahead or durability is Durability.LATER:
            batch.add(ASYNC)
        batch.extend(statements)
        if signals is not None:
            batch.end()
            batch.add(NOTIFY, signals)
        if is_ahead:
            batch.end()
            batch.add(ON_DISK)
        try:
            async with self.pool.connection() as connection:
                await batch.run(connection)
        finally:
            # Even if it failed: what `touched` took over from earlier announcements must be told.
            for name, parts in touched.items():
                self._wakeups.announce(name, parts)
                if signals is None:
                    self._notifier.send(_CHANNEL + name, parts)

    def announce(self, touched: Touched) -> None:
        """Wake who waits for these topics (and partitions), here at once and in other processes soon."""
        for name, parts in self._with_later(touched).items():
            self._wakeups.announce(name, parts)
            self._notifier.send(_CHANNEL + name, parts)

    def _with_later(self, touched: Touched) -> dict[str, set[int] | None]:
        """Add what waits for the next announcement of these topics."""
        found: dict[str, set[int] | None] = {}
        for name, parts in touched.items():
            later = self._later.pop(name, ())
            found[name] = None if parts is None or later is None else {*parts, *later}
        return found

    def announce_soon(self, touched: Touched) -> None:
        """Announce what nobody waits for eagerly: with the next announcement on the topic, or after a moment."""
        for name, parts in touched.items():
            known = self._later.get(name, ())
            self._later[name] = None if parts is None or known is None else {*known, *parts}
        if self._later_call is None:
            self._later_call = asyncio.get_running_loop().call_later(SOON_S, self._announce_later)

    def _announce_later(self) -> None:
        self._later_call = None
        later, self._later = self._later, {}
        self.announce(later)

    async def wait(self, name: str, timeout: float, partitions: Iterable[int] | None = None) -> None:
        """Wait for an announcement; the first wait returns as soon as the process hears of the topic."""
        if self._listener.hears(_CHANNEL + name):
            await self._wakeups.wait(name, timeout, partitions)
        else:
            await self.hear(name, timeout)
            self._wakeups.returned(name)

    async def hear(self, name: str, timeout: float) -> None:
        """Return when announcements of the topic reach this process, or after `timeout` seconds."""
        if not self._listener.hears(_CHANNEL + name):
            self._wakeups.know(name)
            await self._listener.hear(_CHANNEL + name, timeout)

    def arrived(self, name: str, partitions: Iterable[int] | None) -> None:
        """Wake who waits for the topic and these partitions in this process: something has come by another way."""
        self._wakeups.announce(name, partitions)

    def wake_here(self, name: str) -> None:
        """Wake who waits for the topic in this process only."""
        self._wakeups.announce(name)

    async def leave_to_newer(self, topic: Topic[Any], part: int, level: int) -> None:
        """Hand a partition to instances that know a message's level; once is enough."""
        if (topic.name, part, level) in self._newer:
            return
        log.warning(
            "partition %s of topic '%s' waits for an instance of level %s; upgrade this one",
            part,
            topic.name,
            level,
            extra={"action": "newer_level_found"},
        )
        await self.pool.run(SQL["require_level"], {"services": list(topic.consumers), "part": part, "level": level})
        self._newer.add((topic.name, part, level))

    def _is_own(self, backend: int) -> bool:
        return backend == self._notifier.backend or self.pool.owns(backend)

    def _on_signal(self, channel: str, partitions: frozenset[int] | None) -> None:
        self._wakeups.announce(channel.removeprefix(_CHANNEL), partitions)

    async def close(self) -> None:
        """Close all connections."""
        if self._later_call is not None:
            self._later_call.cancel()
        await self._listener.close()
        await self._notifier.close()
        await self.pool.close()
