"""
What the adapters of one process share: the connection pool, the signals, and who waits for what.

Signals travel on one channel a topic, so that a process hears only of topics that it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final

import msgspec

from tiercel.errors import InvalidSettings, Unavailable
from tiercel.messages.topics import EXECUTION_EVENT, PARTITIONS_DEFAULT, Topic
from tiercel.queue.postgres import arrivals
from tiercel.queue.postgres.arrivals import Arrivals
from tiercel.queue.postgres.sending import SQL, Sending
from tiercel.queue.wakeup import Wakeups
from tiercel.runtime.postgres.batch import Batch, Parameters, Statement
from tiercel.runtime.postgres.pool import HASTY_SESSION, QUEUE_SESSION, SIZE_DEFAULT, WAIT_FOR_DISK, PostgresPool
from tiercel.runtime.postgres.pooling import require_sessions
from tiercel.runtime.postgres.signal import NOTIFY, Listener, Notifier, payload, signals

Touched = Mapping[str, Iterable[int] | None]
"""Names of topics with the partitions that got something; None for all."""

log = logging.getLogger(__name__)

_CHANNEL: Final = "tiercel_"
SOON_S: Final = 0.02
"""How long an announcement that nobody is eager for waits for company."""


_WAITING: Final = b"SELECT " + WAIT_FOR_DISK
_ON_DISK: Final = b"SELECT pg_logical_emit_message(true, 'tiercel', ''), " + WAIT_FOR_DISK
"""A transaction that changes nothing, and waits for the disk: for all that was committed before, too."""


CROWDED: Final = 0.25
"""From here on signals carry nothing: when their queue (8 GB) is full, the server refuses to commit."""
LOOK_EVERY: Final = 50
"""Signals between two looks at how full their queue is."""


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


class _News(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told of a topic."""

    parts: Iterable[int] | None
    earlier: list[str] | None
    """Messages of which nobody was told yet, as signals carry them; None when they are too many."""

    def also(self, parts: Iterable[int] | None, carried: Iterable[str] | None = ()) -> _News:
        """Return this and more."""
        both = None if parts is None or self.parts is None else {*self.parts, *parts}
        earlier = None if self.earlier is None or carried is None else [*self.earlier, *carried]
        return _News(parts=both, earlier=earlier)


class PostgresNode:
    """
    This process's place at the database of queue and state; `open` makes one.

    Its connections do not wait for the disk (docs/adr/0019), unless they are told to by `is_patient`: for those whose
    effects outside of this database a crash of its server would not take back.
    """

    def __init__(self, uri: str, partitions: int, *, size: int = SIZE_DEFAULT, is_patient: bool = False) -> None:
        self.uri = uri
        self.partitions = partitions
        self._is_patient = is_patient
        session = QUEUE_SESSION if is_patient else HASTY_SESSION
        self.pool = PostgresPool(uri, size=size, session=session, name="tiercel queue", prompt=True)
        self._wakeups = Wakeups()
        self._newer: set[tuple[str, int, int]] = set()
        self.arrivals = Arrivals()
        self._has_room = True
        self._told_count = 0
        self._later: dict[str, _News] = {}
        self._later_call: asyncio.TimerHandle | None = None
        self._notifier = Notifier(uri)
        self._listener = Listener(uri, self._is_own, self._on_signal, self._missed_everything)

    @classmethod
    async def open(
        cls, uri: str, *, partitions: int = PARTITIONS_DEFAULT, size: int = SIZE_DEFAULT, is_patient: bool = False
    ) -> PostgresNode:
        """Connect, and agree with the installation on the number of partitions."""
        node = cls(uri, partitions, size=size, is_patient=is_patient)
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

    async def commit(
        self,
        statements: Iterable[Statement],
        touched: Touched,
        durability: Durability,
        carrier: Sending | None = None,
        on_connection: Callable[[], None] | None = None,
    ) -> None:
        """
        Run statements as one transaction, and tell who waits for what it touches.

        `carrier` is what it sends, whose statements are among those; they are asked for after this has begun. A
        transaction that waits for the disk tells right behind its commit, in the same flush: one that notifies holds a
        lock of the whole server while it is flushed. `on_connection` is called before anything is sent, and may refuse.
        """
        news = self._with_later(touched)
        is_now = bool(news) and self._notifier.may_send_now()
        is_waiting = durability is Durability.FIRST or (durability is Durability.BEHIND and not is_now)
        batch = Batch()
        if is_waiting and not self._is_patient:
            batch.add(_WAITING)
        told = news if is_now else {}
        if not is_waiting and carrier is not None:
            told = {name: each for name, each in told.items() if not self._told_by(carrier, name, each)}
        batch.extend(statements)
        if is_waiting and told:
            batch.end()
        if told:
            batch.add(NOTIFY, signals({_CHANNEL + name: each.parts for name, each in told.items()}))
        if durability is Durability.BEHIND and is_now:
            batch.end()
            batch.add(_ON_DISK)
        is_told = False
        try:
            async with self.pool.connection() as connection:
                if on_connection is not None:
                    on_connection()
                await batch.run(connection)
            is_told = is_now
            if is_now:
                await self._look_for_room()
        finally:
            # Even if it failed: what was taken over from earlier announcements must be told.
            for name, each in news.items():
                self._announce_here(name, each.parts)
                if not is_told:
                    self._notifier.send(_CHANNEL + name, each.parts)

    @property
    def can_tell_now(self) -> bool:
        """True when a signal need not wait: few have gone out lately."""
        return self._notifier.can_send_now

    async def take(self, place: Parameters, sending: Sending) -> bool:
        """
        Take a job and send what came of it, events among it, in one commit; False if it was not there any more.

        To be called when `can_tell_now`. Nothing of this waits for the disk: a crash of the server that takes it back
        brings the job back.
        """
        name, touched = EXECUTION_EVENT.name, sending.touched()
        later = self._later.pop(name, None)
        with_later = (later or _News(parts=(), earlier=[])).also(touched.pop(name))
        self._notifier.may_send_now()
        self._told_by(sending, name, with_later)
        news: _News | None = with_later
        is_told = False
        try:
            is_told = bool(await self.pool.fetch(*sending.taking(place)))
            if not is_told:
                news = later
        finally:
            # Even if it failed: what was taken over from earlier announcements must be told.
            if news is not None:
                self._announce_here(name, news.parts)
                if not is_told:
                    self._notifier.send(_CHANNEL + name, news.parts)
        if is_told and touched:
            self.announce_soon(touched)
        return is_told

    def _told_by(self, carrier: Sending, name: str, news: _News) -> bool:
        """Let a statement that is run anyway tell of a topic, and its signal carry the messages; False if none can."""
        # What the notifier still has to tell was sent before, and must not be overtaken.
        earlier = news.earlier if self._notifier.is_quiet and self._has_room else None
        return carrier.tell(name, _CHANNEL + name, payload(news.parts), earlier)

    async def _look_for_room(self) -> None:
        """See from time to time whether somebody holds the signals back, and carry nothing as long as that lasts."""
        self._told_count += 1
        if self._told_count % LOOK_EVERY:
            return
        with contextlib.suppress(Unavailable):
            ((usage,),) = await self.pool.fetch(SQL["signals_waiting"])
            if usage >= CROWDED and self._has_room:
                log.warning(
                    "a connection listens and does not read (a stopped process, an open transaction): %d %% of the "
                    "room for signals is used, and they carry no messages until it goes on or is ended",
                    usage * 100,
                    extra={"action": "signals_held_back"},
                )
            self._has_room = usage < CROWDED

    def announce(self, touched: Touched) -> None:
        """Wake who waits for these topics (and partitions), here at once and in other processes soon."""
        for name, news in self._with_later(touched).items():
            self._announce_here(name, news.parts)
            self._notifier.send(_CHANNEL + name, news.parts)

    def _announce_here(self, name: str, parts: Iterable[int] | None) -> None:
        self.arrivals.missed(name)
        self._wakeups.announce(name, parts)

    def _with_later(self, touched: Touched) -> dict[str, _News]:
        """Add what waits for the next announcement of these topics."""
        nothing = _News(parts=(), earlier=[])
        return {name: self._later.pop(name, nothing).also(parts) for name, parts in touched.items()}

    def announce_soon(self, touched: Touched, carried: Mapping[str, list[str] | None] = MappingProxyType({})) -> None:
        """
        Announce what nobody waits for eagerly: with the next announcement on the topic, or after a moment.

        `carried` are its messages, by topic, as signals carry them.
        """
        for name, parts in touched.items():
            known = self._later.get(name, _News(parts=(), earlier=[]))
            self._later[name] = known.also(parts, carried.get(name))
        if self._later_call is None:
            self._later_call = asyncio.get_running_loop().call_later(SOON_S, self._announce_later)

    def _announce_later(self) -> None:
        self._later_call = None
        later, self._later = self._later, {}
        self.announce({name: news.parts for name, news in later.items()})

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
        self._announce_here(name, partitions)

    def wake_here(self, name: str) -> None:
        """Wake who waits for the topic in this process only."""
        self._announce_here(name, None)

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

    def _on_signal(self, channel: str, partitions: frozenset[int] | None, carried: str) -> None:
        name = channel.removeprefix(_CHANNEL)
        rows = arrivals.readable(name, carried) if carried else None
        if rows is None:
            self.arrivals.missed(name)
        else:
            self.arrivals.brought(name, rows)
        self._wakeups.announce(name, partitions)

    def _missed_everything(self) -> None:
        self.arrivals.missed_everything()
        self._wakeups.announce_everything()

    async def close(self) -> None:
        """Close all connections."""
        if self._later_call is not None:
            self._later_call.cancel()
        await self._listener.close()
        await self._notifier.close()
        await self.pool.close()
