"""Leases in memory: the rules of the PostgreSQL adapter on one event loop, with the clock's time."""

from __future__ import annotations

import dataclasses
import uuid
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tiercel.queue.base import Lease
from tiercel.queue.wakeup import Wakeups
from tiercel.runtime.clock import Clock
from tiercel.statestore.base import SINGLE

CRASH_FORGIVEN_AFTER = timedelta(minutes=1)
"""An owner that lives so long was not killed by what it found in the partition."""
TTL_DEFAULT_S = 10.0
"""How long a member counts after its last sign of life, until `take` has named another time."""


@dataclasses.dataclass(kw_only=True)
class _Member:
    level: int
    draining: bool
    seen_at: datetime


@dataclasses.dataclass(kw_only=True)
class _Row:
    owner: str | None = None
    token: str = ""
    expires_at: datetime
    taken_at: datetime
    crashes: int = 0
    suspect: int | None = None
    min_level: int = 0


class MemoryLeases:
    """Who owns which partition, in one process."""

    def __init__(self, clock: Clock, wakeups: Wakeups, partitions: int) -> None:
        self._clock = clock
        self._wakeups = wakeups
        self._count = partitions
        self._members: dict[str, dict[str, _Member]] = {}
        self._rows: dict[str, dict[int, _Row]] = {}
        self._ttl_s: dict[str, float] = {}

    async def announce(self, service: str, instance: str, *, level: int, draining: bool = False) -> None:
        """Say that this instance lives."""
        self._members.setdefault(service, {})[instance] = _Member(
            level=level, draining=draining, seen_at=self._clock.now()
        )

    async def take(self, service: str, instance: str, *, level: int, ttl_s: float) -> list[Lease]:
        """Renew, and take what is free up to the fair share."""
        now, self._ttl_s[service] = self._clock.now(), ttl_s
        rows = self._rows_of(service)
        mine = {part: row for part, row in rows.items() if row.owner == instance}
        for row in mine.values():
            row.expires_at = now + timedelta(seconds=ttl_s)
            row.crashes = 0 if now - row.taken_at >= CRASH_FORGIVEN_AFTER else row.crashes
        free = [
            (part, row)
            for part, row in sorted(rows.items(), key=lambda item: zlib.crc32(f"{item[0]}{instance}".encode()))
            if row.owner != instance and row.min_level <= level and (row.owner is None or row.expires_at < now)
        ]
        for part, row in free[: max(0, self._quota(service, instance) - len(mine))]:
            row.crashes = 0 if row.owner is None else row.crashes + 1
            row.owner, row.token, row.taken_at = instance, str(uuid.uuid4()), now
            row.expires_at = now + timedelta(seconds=ttl_s)
            mine[part] = row
        return [
            Lease(service=service, partition=part, token=row.token, crashes=row.crashes, suspect=row.suspect)
            for part, row in sorted(mine.items())
        ]

    async def surplus(self, service: str, instance: str) -> list[int]:
        """Return what is above the fair share, and what needs a newer level."""
        member = self._members.get(service, {}).get(instance)
        mine = {part: row for part, row in self._rows_of(service).items() if row.owner == instance}
        too_new = [part for part, row in mine.items() if member is not None and row.min_level > member.level]
        rest = [part for part in mine if part not in too_new]
        return sorted(too_new + rest[self._quota(service, instance) :])

    async def release(self, service: str, instance: str, partitions: Sequence[int]) -> None:
        """Give partitions back at once."""
        for part in partitions:
            row = self._rows_of(service).get(part)
            if row is not None and row.owner == instance:
                row.owner, row.crashes, row.suspect = None, 0, None
        self._wakeups.announce(f"lease.{service}")

    async def leave(self, service: str, instance: str) -> None:
        """Release everything and forget the instance."""
        self._members.get(service, {}).pop(instance, None)
        await self.release(service, instance, list(self._rows_of(service)))

    async def expire(self, service: str, instance: str) -> None:
        """Free what a dead instance owns, and forget it."""
        self._members.get(service, {}).pop(instance, None)
        for row in self._rows_of(service).values():
            if row.owner == instance:
                row.expires_at = datetime.min.replace(tzinfo=UTC)
        self._wakeups.announce(f"lease.{service}")

    async def suspect(self, lease: Lease, message_id: int | None) -> None:
        """Write the message into the lease."""
        row = self._rows_of(lease.service).get(lease.partition)
        if row is not None and row.token == lease.token:
            row.suspect = message_id

    async def changed(self, service: str, timeout: float) -> None:
        """Wait for partitions that were given back."""
        await self._wakeups.wait(f"lease.{service}", timeout)

    def holds(self, leases: Sequence[Lease]) -> bool:
        """Tell whether all of these leases still have their token."""
        return all(
            (row := self._rows_of(lease.service).get(lease.partition)) is not None
            and row.owner is not None
            and row.token == lease.token
            for lease in leases
        )

    def require_level(self, services: Sequence[str], partition: int, level: int) -> None:
        """Leave a partition to instances that know this level."""
        for service in services:
            row = self._rows_of(service).get(partition)
            if row is not None:
                row.min_level = max(row.min_level, level)

    def _quota(self, service: str, instance: str) -> int:
        """Fair share: partitions by living members that do not drain, rounded up."""
        horizon = self._clock.now() - timedelta(seconds=self._ttl_s.get(service, TTL_DEFAULT_S))
        members = self._members.get(service, {})
        own = members.get(instance)
        if own is not None and own.draining:
            return 0
        others = sum(
            1
            for name, member in members.items()
            if name != instance and not member.draining and member.seen_at > horizon
        )
        return -(-len(self._rows_of(service)) // (others + 1))

    def _rows_of(self, service: str) -> dict[int, _Row]:
        if service not in self._rows:
            now = self._clock.now()
            count = 1 if service in SINGLE else self._count
            self._rows[service] = {part: _Row(expires_at=now, taken_at=now) for part in range(count)}
        return self._rows[service]
