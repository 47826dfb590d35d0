"""
Partitions whose owners died one after the other: worked on one message at a time, until the one that kills is known.

The lease counts the crashes of its owners. After two of them the next owner takes the messages that wait one by one and
writes the number of each into the lease before it begins. A message that was in hand at a crash is tried once more,
marked; when its owner dies again, the message goes to the dead letters, and its execution fails with the reason. One
crash with it in hand is not enough: somebody may have killed the process from outside.

What killed was among the messages that one batch could hold: after as many the partition is as any other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from tiercel.executor import metrics
from tiercel.messages.execution_event import EventFailed
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.queue.base import Delivery, Lease, Outgoing, Queue
from tiercel.statestore.base import Leases

log = logging.getLogger(__name__)

CRASHES: Final = 2
"""Owners that must have died before the next one is careful; any process may die once, for reasons of its own."""


class _Case:
    """One partition under care."""

    def __init__(self, lease: Lease, left: int) -> None:
        self.lease = lease
        self.left = left
        self.suspect = lease.suspect


class Caution:
    """The partitions of this process that are worked on one message at a time."""

    def __init__(self, leases: Leases, queue: Queue, batch_count: int) -> None:
        self._leases = leases
        self._queue = queue
        self._batch_count = batch_count
        self._cases: dict[int, _Case] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._cases

    def take(self, lease: Lease) -> None:
        """Look at a lease that is new here."""
        self._cases.pop(lease.partition, None)
        if lease.crashes >= CRASHES:
            self._cases[lease.partition] = _Case(lease, self._batch_count)
            log.warning(
                "owners of partition %s have died %s times; its messages are taken one by one",
                lease.partition,
                lease.crashes,
                extra={"action": "care_begun", "partition": lease.partition, "crashes": lease.crashes},
            )

    def keep(self, partitions: Iterable[int]) -> None:
        """Forget partitions that are no longer ours."""
        own = set(partitions)
        self._cases = {partition: case for partition, case in self._cases.items() if partition in own}

    async def next(self, now: datetime) -> tuple[Lease, Delivery[Any]] | None:
        """
        Return the next message to be worked on alone, None when nothing is under care any more.

        One that killed twice is returned as if it could not be decoded: so it is buried.
        """
        while self._cases:
            case = next(iter(self._cases.values()))
            found = await self._queue.read(EXECUTION_EVENT, [case.lease.partition], count=1)
            if case.left <= 0 or not found:
                del self._cases[case.lease.partition]
                await self._leases.suspect(case.lease, None)
                continue
            case.left -= 1
            return case.lease, await self._looked_at(case, found[0], now)
        return None

    async def _looked_at(self, case: _Case, delivery: Delivery[Any], now: datetime) -> Delivery[Any]:
        number, before = _number(delivery), case.suspect
        if before == -number:
            reason = "Its owner died each time that it worked on this message."
            log.error(
                "a message has killed its owners and goes to the dead letters",
                extra={"action": "killer_buried", "execution_id": delivery.key, "partition": delivery.partition},
            )
            metrics.KILLERS.inc()
            await self._fail(delivery, reason, now)
            return msgspec.structs.replace(delivery, message=None, error=reason)
        case.suspect = None
        await self._leases.suspect(case.lease, -number if before == number else number)
        return delivery

    async def _fail(self, delivery: Delivery[Any], reason: str, now: datetime) -> None:
        """Tell the execution; that comes as a message too, so that it can be suspected if it kills as well."""
        name = type(delivery.message).__name__
        failed = EventFailed(
            execution_id=delivery.key, at=now, event=name, reason=f"The event {name} could not be processed: {reason}"
        )
        if not isinstance(delivery.message, EventFailed):
            await self._queue.emit(Outgoing(topic=EXECUTION_EVENT, key=delivery.key, message=failed))


def _number(delivery: Delivery[Any]) -> int:
    """Return the number of a message in a lease: from one on, so that its negative is another one."""
    return delivery.id + 1
