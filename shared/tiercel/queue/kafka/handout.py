"""
Jobs that go to a worker in the very transaction that makes them.

The process that dispatches knows who has room, and whether anything waits. When nothing does, a job of one of its own
transactions need not become a row that another transaction deletes a moment later: the transaction that saves the
state saves that the worker has the job, counts it as sent, and keeps it for the worker's inbox. So nobody has to tell
that it is started. It proves the dispatcher's lease like the dispatcher's own, and the two take turns: both say how
much workers have been sent in all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from tiercel.messages.topics import WORKER_JOB
from tiercel.queue.base import Lease, OutgoingJob
from tiercel.queue.kafka import metrics
from tiercel.queue.kafka.outbox import SQL
from tiercel.queue.kafka.roster import Group, Roster
from tiercel.runtime.postgres.array import Column, int8s, texts
from tiercel.runtime.postgres.batch import Statement
from tiercel.statestore.base import LeaseLost, StaleState

SURE_S: Final = 7.0
"""A lease that was renewed within this time is still held, as far as can be known without asking."""


class Shares(msgspec.Struct, frozen=True):
    """What one transaction does with its jobs."""

    given: Sequence[tuple[str, OutgoingJob]] = ()
    """Workers and their jobs; all others go to the waiting line."""
    lease: Lease | None = None
    """The transaction's right to give jobs."""


class Handout:
    """What the process that dispatches knows; with `lease` None it is another one."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.turn = asyncio.Lock()
        """Held by the one transaction that may count what workers are sent."""
        self.roster = Roster(now)
        self.lease: Lease | None = None
        self.renewed_at = 0.0
        self._now = now
        self._drained: frozenset[str] = frozenset()
        """Lanes in which nothing waits."""

    def lead(self, lease: Lease, renewed_at: float) -> None:
        """Note that this process holds the lease."""
        self.lease, self.renewed_at = lease, renewed_at

    def lose(self) -> None:
        """Trust nothing that is known of what others may have changed."""
        self.lease = None
        self._drained = frozenset()

    def drained(self, lanes: Iterable[str]) -> None:
        """Note the lanes in which nothing waits any more; of all others it is not known."""
        self._drained = frozenset(lanes)

    def wait(self, lanes: Iterable[str]) -> None:
        """Note that jobs wait in these lanes: nothing overtakes them."""
        self._drained = self._drained.difference(lanes)

    def is_drained(self, lanes: Iterable[str]) -> bool:
        """Tell whether nothing waits in any of these lanes, as far as this process knows."""
        return self._drained.issuperset(lanes)

    @contextlib.asynccontextmanager
    async def share(self, jobs: Sequence[OutgoingJob]) -> AsyncIterator[Shares]:
        """Share jobs out for the transaction in the block; how it ends tells whether they were sent."""
        if not jobs or not self._drained or self.turn.locked() or not self._is_sure:
            yield Shares()
            return
        async with self.turn:
            shares = self._shares(jobs)
            try:
                yield shares
            except BaseException as error:  # whatever ends the transaction, what it counted is not known
                self.roster.forget_sent()
                if shares.given or not isinstance(error, LeaseLost | StaleState):
                    self.lose()
                raise
            self.roster.committed()
            metrics.DISPATCHED.inc(len(shares.given))

    @property
    def _is_sure(self) -> bool:
        return self.lease is not None and self._now() - self.renewed_at < SURE_S

    def _shares(self, jobs: Sequence[OutgoingJob]) -> Shares:
        groups = [group for group in self.roster.groups() if group.level >= WORKER_JOB.level]
        given: list[tuple[str, OutgoingJob]] = []
        for out in sorted(jobs, key=lambda out: out.rank):
            group = _roomiest(groups, out.lane) if out.lane in self._drained else None
            if group is None:
                self.wait([out.lane])
            else:
                given.append((group.next(), out))
        return Shares(given, self.lease if given else None)

    def statements(self, shares: Shares) -> Iterator[Statement]:
        """Yield what proves the lease and counts the jobs, if there are any."""
        if shares.lease is not None:
            lease = shares.lease
            proof = {"service": lease.service, "part": lease.partition, "token": lease.token}
            yield SQL["hand_out"], {**proof, **self._counted()}

    def count(self) -> Statement:
        """Return the statement that counts what workers are sent by the transaction under way."""
        return SQL["count_sent"], self._counted()

    def _counted(self) -> dict[str, Column]:
        sent = self.roster.sent
        return {"workers": texts(list(sent)), "sent": int8s(list(sent.values()))}


def _roomiest(groups: Iterable[Group], lane: str) -> Group | None:
    """Return the workers of a lane of whom one has most room, None when none has any."""
    serving = [group for group in groups if lane in group.lanes and group.has_room]
    return max(serving, key=lambda group: group.most, default=None)
