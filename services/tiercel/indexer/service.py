"""The indexer's loops: keep the leases of history's partitions, write what waits in them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from tiercel.errors import Unavailable
from tiercel.indexer import metrics
from tiercel.indexer.handlers import history
from tiercel.indexer.settings import IndexerSettings
from tiercel.messages.topics import HISTORY
from tiercel.model import ids
from tiercel.queue.base import Lease
from tiercel.runtime import retry
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.service import Service

log = logging.getLogger(__name__)

DRAIN_S: Final = 15.0
"""How long a stopping indexer may take to write the batch in hand."""
PARTITION_COUNT_MIN: Final = 32
"""Messages that are read of a partition at least, however many partitions there are."""


class IndexerService(Service):
    """Moves history from the queue into the repository, exactly once by effect."""

    name = "indexer"

    def __init__(self, adapters: Adapters, settings: IndexerSettings | None = None) -> None:
        super().__init__()
        assert adapters.leases is not None, "An indexer needs leases."
        assert adapters.repository is not None, "An indexer needs a repository."
        self._queue, self._leases, self._repository = adapters.queue, adapters.leases, adapters.repository
        self._clock = adapters.clock
        self._settings = settings or IndexerSettings()
        self.instance = ids.new_id(self._clock.now())
        self._owned: dict[int, Lease] = {}
        self._step = asyncio.Lock()
        """Held while a batch is written, and while leases change."""

    async def start(self) -> None:
        async for attempt in retry.backend("queue"):
            with attempt:
                await self._renew()
        self.spawn("leases", self._keep_leases())
        self.spawn("history", self._write_history())
        self.spawn("janitor", self._clean())

    async def drain(self) -> None:
        """Finish the batch in hand and give the partitions back: another instance need not wait for them to expire."""
        try:
            async with asyncio.timeout(DRAIN_S), self._step:  # a batch that hangs must not hold up the stop
                self._owned = {}
                await self._leases.leave(self.name, self.instance)
        except (Unavailable, TimeoutError) as error:
            log.warning("leases were not given back: %s", error, extra={"action": "leases_not_released"})

    async def _keep_leases(self) -> None:
        while True:
            # Leases are renewed in time, free ones are taken at once.
            await self._leases.changed(self.name, self._settings.lease_interval_s)
            async for attempt in retry.backend("queue"):
                with attempt:
                    await self._renew()

    async def _clean(self) -> None:
        """Forget what is no longer needed; the owner of partition 0 does it for all."""
        while True:
            await self._clock.sleep(self._settings.janitor_interval_s)  # only time makes what is kept old
            if 0 not in self._owned:
                continue
            now, retention = self._clock.now(), self._settings.retention
            async for attempt in retry.backend("history"):
                with attempt:
                    await self._repository.forget_batches(now - self._settings.ledger_age)
                    dropped = await self._repository.purge(now - retention) if retention is not None else 0
                    if dropped:
                        log.info("old history was dropped", extra={"action": "history_dropped", "count": dropped})

    async def _renew(self) -> None:
        async with self._step:
            if not self.stopping:  # what was given back must not be taken again
                await self._take()

    async def _take(self) -> None:
        level, ttl_s = HISTORY.level, self._settings.lease_ttl_s
        await self._leases.announce(self.name, self.instance, level=level)
        taken = await self._leases.take(self.name, self.instance, level=level, ttl_s=ttl_s)
        owned = {lease.partition: lease for lease in taken}
        surplus = await self._leases.surplus(self.name, self.instance)
        for partition in surplus:
            owned.pop(partition, None)
        changed = {partition for partition, lease in owned.items() if self._owned.get(partition) != lease}
        metrics.LEASE_CHANGES.inc(len(changed | (self._owned.keys() - owned.keys())))
        metrics.LEASES.set(len(owned))
        self._owned = owned
        if surplus:
            await self._leases.release(self.name, self.instance, surplus)

    async def _write_history(self) -> None:
        while True:
            written = 0
            async for attempt in retry.backend("history"):
                if attempt.retry_state.attempt_number > 1:
                    metrics.RETRIES.inc()
                with attempt:
                    written = await self.write_once()
            if not written:
                await self._queue.wait(HISTORY, self._settings.wait_s)  # a message wakes it; the time is a safety net
            if written < self._settings.batch_size_max // 2:
                await self._clock.sleep(self._settings.linger_s)  # what is told within a moment is written together

    async def write_once(self) -> int:
        """Write what waits in the partitions that this instance owns; return how many messages."""
        async with self._step:
            written, lost = await self._write_batch()
        if lost:
            await self._renew()
        return written

    async def _write_batch(self) -> tuple[int, bool]:
        """Do so; tell besides whether a lease was lost."""
        owned = self._owned
        if not owned:
            return 0, False
        count = max(PARTITION_COUNT_MIN, self._settings.batch_size_max // len(owned))
        deliveries: list[Any] = await self._queue.read(HISTORY, list(owned), count=count)
        if not deliveries:
            return 0, False
        began = time.perf_counter()
        metrics.REQUESTS.inc()
        metrics.RECEIVED.inc(len(deliveries))
        metrics.BATCH_SIZE.observe(len(deliveries))
        await history.write(self._repository, self._queue, deliveries)
        touched = {delivery.partition for delivery in deliveries}
        if not await self._queue.acknowledge(HISTORY, deliveries, [owned[partition] for partition in touched]):
            # the next owner writes these again, which changes nothing
            metrics.LEASES_LOST.inc()
            log.info("a lease was lost while history was written", extra={"action": "lease_lost"})
            return 0, True
        metrics.BATCH_SECONDS.observe(time.perf_counter() - began)
        metrics.REQUEST_SECONDS.observe(time.perf_counter() - began)
        return len(deliveries), False
