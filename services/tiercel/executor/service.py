"""The executor as a service: owns partitions, decides their events in batches, keeps their timers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from tiercel.errors import Unavailable
from tiercel.executor import metrics
from tiercel.executor.archive import Archive
from tiercel.executor.cache import ExecutionCache
from tiercel.executor.caution import Caution
from tiercel.executor.core.decide import ExecutionOnly
from tiercel.executor.core.facts import Ignored
from tiercel.executor.facts_source import FactsSource
from tiercel.executor.forgetting import INTERVAL_S, Forgetting
from tiercel.executor.handlers.broadcast import BroadcastHandler
from tiercel.executor.handlers.execution_event import ExecutionEventHandler
from tiercel.executor.handlers.worker_event import WorkerEventHandler
from tiercel.executor.listeners import REREAD_S, FlowListeners
from tiercel.executor.liveness import Liveness
from tiercel.executor.parking import Parking
from tiercel.executor.settings import ExecutorSettings
from tiercel.executor.surroundings import surroundings_of
from tiercel.executor.timers import HORIZON, Timers
from tiercel.messages.execution_event import WindowEnded, WorkerLost
from tiercel.messages.topics import EXECUTION_EVENT, partition_of
from tiercel.model import ids
from tiercel.queue import backlog
from tiercel.queue.base import Delivery, Lease, is_everything
from tiercel.runtime import retry
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.service import Service
from tiercel.statestore.base import LeaseLost, StaleState

log = logging.getLogger(__name__)

SERVICE = "executor"
TIMERS_LIMIT = 20_000
"""Timers of one reading, the earliest first: some three hundred for each second until the next."""
OUTAGE_WAIT_S = 0.5
"""Between two tries while the database is away."""
DRAIN_S = 10.0
"""How long a stop waits for the batch in hand; the fence undoes what comes later."""


class ExecutorService(Service):
    """Decides what happens next to the executions of the partitions that it owns."""

    name = SERVICE

    def __init__(self, adapters: Adapters, settings: ExecutorSettings | None = None) -> None:
        super().__init__()
        assert adapters.statestore is not None
        assert adapters.leases is not None
        assert adapters.definitions is not None
        self._adapters = adapters
        self._settings = settings or ExecutorSettings()
        self._queue = adapters.queue
        self._store = adapters.statestore
        self._lease_port = adapters.leases
        self._clock = adapters.clock
        self.instance = ids.new_id(self._clock.now())
        self._leases: dict[int, Lease] = {}
        self._cache = ExecutionCache(self._settings.cached_executions, self._settings.cached_outputs_bytes)
        self._timers = Timers()
        self._liveness = Liveness(self._settings.worker_timeout_s, self._clock.now(), is_alone=self._settings.is_alone)
        self._lost: list[WorkerLost] = []
        self._idle = asyncio.Event()
        source = FactsSource(adapters, lambda: self._liveness.served(self._clock.now()))
        around = surroundings_of(self._settings)
        self._listeners = FlowListeners(adapters.definitions, source, around)
        self._caution = Caution(self._lease_port, self._queue, self._settings.batch_count)
        archive = Archive(adapters.repository, self._store, source, self._clock, self._settings.kept_after_end_s)
        self._parking = Parking(self._store, archive.answer, lambda: self._queue.wake(EXECUTION_EVENT))
        self._handler = ExecutionEventHandler(
            self._queue, self._store, source, self._cache, around, self._listeners, self._parking, archive,
            self.instance,
        )  # fmt: skip
        self._worker_events = WorkerEventHandler(self._queue, self._liveness, self._clock)

    async def start(self) -> None:
        """Take partitions and begin to decide their events."""
        news = BroadcastHandler(self._queue, self._listeners)
        await self._listeners.refresh()
        await self._renew()
        self.spawn("news", news.listen())
        self.spawn("listeners", self._listener_loop())
        self.spawn("leases", self._lease_loop())
        self.spawn("events", self._event_loop())
        self.spawn("timers", self._timer_loop())
        self.spawn("workers", self._worker_events.listen())
        self.spawn("liveness", self._liveness_loop())
        if self._adapters.repository is not None:
            kept_s = self._settings.kept_after_end_s
            forgetting = Forgetting(self._store, self._adapters.repository, self._clock, kept_s)
            self.spawn("janitor", self._forget_loop(forgetting))
        self.spawn("backlog", self._backlog_loop())

    def ignore(self, ignored: Ignored) -> None:
        """Leave these executions alone from the next event on."""
        self._handler.around = self._handler.around._replace(ignored=ignored)

    async def drain(self) -> None:
        """Finish the batch in hand and give the partitions back."""
        self._queue.wake(EXECUTION_EVENT)
        self._parking.close()
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(DRAIN_S):  # a database that hangs must not hold up the stop
                await self._idle.wait()
                await self._lease_port.leave(SERVICE, self.instance)

    async def _lease_loop(self) -> None:
        outage = retry.Outage("renewal of leases")
        while not self.stopping:
            # A lease is renewed in time, free ones are taken at once.
            await self._lease_port.changed(SERVICE, self._settings.lease_renew_s)
            with outage:
                await self._renew()

    async def _renew(self) -> None:
        """Renew leases, take free partitions, hand over a surplus; forget what was lost."""
        if self.stopping:
            return  # what was given back must not be taken again
        settings = self._settings
        await self._lease_port.announce(SERVICE, self.instance, level=EXECUTION_EVENT.level)
        owned = await self._lease_port.take(
            SERVICE, self.instance, level=EXECUTION_EVENT.level, ttl_s=settings.lease_ttl_s
        )
        surplus = await self._lease_port.surplus(SERVICE, self.instance)
        if surplus:
            self._own([lease for lease in owned if lease.partition not in surplus])
            await self._lease_port.release(SERVICE, self.instance, surplus)
            owned = [lease for lease in owned if lease.partition not in surplus]
        # Before anything new of a partition is worked on it must be known what waits in it.
        await self._parking.take(lease.partition for lease in owned if self._is_new(lease))
        for lease in owned:
            if self._is_new(lease):
                self._caution.take(lease)
        taken = self._own(owned)
        if taken:
            self._listeners.judge_again()
            await self._read_timers(taken)
            self._queue.wake(EXECUTION_EVENT)

    def _is_new(self, lease: Lease) -> bool:
        known = self._leases.get(lease.partition)
        return known is None or known.token != lease.token

    def _own(self, owned: Sequence[Lease]) -> list[int]:
        """Take note of the leases; return the partitions that are new."""
        now_owned = {lease.partition: lease for lease in owned}
        changed = {partition for partition, lease in now_owned.items() if self._is_new(lease)}
        self._parking.keep(now_owned)
        self._caution.keep(now_owned)
        gone = set(self._leases) - set(now_owned)
        if changed or gone:
            self._cache.drop_partitions(changed | gone)
            metrics.LEASE_CHANGES.inc(len(changed | gone))
        self._leases = now_owned
        metrics.LEASES.set(len(now_owned))
        return sorted(changed)

    async def _read_timers(self, partitions: Sequence[int]) -> None:
        now = self._clock.now()
        self._timers.add(await self._store.timers(SERVICE, partitions, now + HORIZON, TIMERS_LIMIT), now)

    async def _timer_loop(self) -> None:
        """Read timers that come near, well before they are due."""
        outage = retry.Outage("reading of timers")
        while not self.stopping:
            await self._clock.sleep(HORIZON.total_seconds() / 2)  # what was read reaches twice as far
            with outage:
                await self._read_timers(list(self._leases))

    async def _listener_loop(self) -> None:
        """Reread the flows that listen, in case a broadcast was missed."""
        outage = retry.Outage("reading of flows that listen")
        while not self.stopping:
            await self._clock.sleep(REREAD_S)  # a missed broadcast is what nobody can announce
            with outage:
                await self._listeners.refresh()

    async def _event_loop(self) -> None:
        outage = retry.Outage("decisions")
        while not self.stopping:
            self._idle.clear()
            worked = True
            with outage:
                worked = await self._work()
            if outage.lasts:
                self._cache.clear()
                await self._clock.sleep(OUTAGE_WAIT_S)  # a database does not say that it is back
            self._idle.set()
            if not worked and not self.stopping:
                await self._wait()
        self._idle.set()

    async def _wait(self) -> None:
        due = self._timers.next_due
        wait = self._settings.wait_s
        if due is not None:
            wait = min(wait, max(0.0, (due - self._clock.now()).total_seconds()))
        await self._queue.wait(EXECUTION_EVENT, wait)  # a message wakes it, or the next timer

    async def _work(self) -> bool:
        """Decide one batch; tell whether there may be more, of which nobody will say a word."""
        leases = list(self._leases.values())
        if not leases:
            return False
        careful = await self._caution.next(self._clock.now())
        if careful is not None:
            await self._decide([careful[1]], [], [careful[0]])
        partitions = [lease.partition for lease in leases if lease.partition not in self._caution]
        deliveries = await self._queue.read(EXECUTION_EVENT, partitions, count=self._settings.batch_count)
        now = self._clock.now()
        noticed: list[ExecutionOnly | WindowEnded] = [*self._timers.due(now), *self._lost, *self._listeners.ended(now)]
        self._lost = []
        own = [e for e in noticed if partition_of(e.execution_id, self._queue.partitions) in self._leases]
        self._liveness.contact(self._clock.now())
        returning = self._parking.returning()
        if not deliveries and not own and not returning:
            return careful is not None
        touched = returning & self._leases.keys()
        touched.update(delivery.partition for delivery in deliveries)
        touched.update(partition_of(event.execution_id, self._queue.partitions) for event in own)
        for delivery in deliveries:
            if delivery.message is not None:
                metrics.LAG_SECONDS.observe(max(0.0, (now - delivery.message.at).total_seconds()))
        saved = await self._decide(deliveries, own, [lease for lease in leases if lease.partition in touched])
        is_rest = not is_everything(deliveries, self._settings.batch_count) or bool(self._lost)
        return is_rest or careful is not None or not saved

    async def _decide(
        self, deliveries: Sequence[Delivery[Any]], own: Sequence[ExecutionOnly | WindowEnded], leases: Sequence[Lease]
    ) -> bool:
        """Decide a batch; False when it was refused, and is to be read again."""
        began = time.perf_counter()
        try:
            timers = await self._handler.handle(deliveries, own, leases)
        except (LeaseLost, StaleState) as error:
            metrics.REFUSED.inc()
            log.warning("batch was refused: %s", error, extra={"action": "batch_refused"})
            self._cache.clear()
            self._timers.clear()
            self._listeners.judge_again()
            self._handler.trusts_creates = isinstance(error, LeaseLost)
            await self._renew()
            await self._read_timers(list(self._leases))
            return False
        except Unavailable:
            self._timers.clear()
            self._listeners.judge_again()
            raise
        self._handler.trusts_creates = True
        metrics.BATCH_SECONDS.observe(time.perf_counter() - began)
        self._timers.add(timers, self._clock.now())
        metrics.CACHED.set(len(self._cache))
        return True

    async def _liveness_loop(self) -> None:
        """Look every third of the time-out whether a worker that holds something of ours is lost."""
        outage = retry.Outage("search for lost workers")
        while not self.stopping:
            await self._clock.sleep(self._settings.worker_timeout_s / 3)  # no event tells of a silence
            with outage:
                held = await self._store.held(list(self._leases))
                now = self._clock.now()
                for worker in self._liveness.lost((item.worker for item in held), now):
                    metrics.LOST_WORKERS.inc()
                    log.warning("worker lost", extra={"action": "worker_lost", "worker": worker})
                    self._lost += [
                        WorkerLost(
                            execution_id=item.execution_id, at=now, seq=item.seq, attempt=item.attempt, worker=worker
                        )
                        for item in held
                        if item.worker == worker
                    ]
                if self._lost:
                    self._queue.wake(EXECUTION_EVENT)

    async def _backlog_loop(self) -> None:
        outage = retry.Outage("measuring of queues")
        while not self.stopping:
            with outage:
                await backlog.measure(self._queue)
            await self._clock.sleep(backlog.INTERVAL_S)  # a gauge is read at this pace

    async def _forget_loop(self, forgetting: Forgetting) -> None:
        """Forget what is over, from time to time."""
        outage = retry.Outage("forgetting of what is over")
        pause = INTERVAL_S
        while not self.stopping:
            await self._clock.sleep(pause)  # age is the reason to forget, and only time brings it
            pause = INTERVAL_S
            with outage:
                pause = await forgetting.page(list(self._leases))
