"""
The scheduler's loops: leases, events, the clock, news of flows, and a check of locks.

They share what is known of the owned triggers, and one lock: a decision and the transaction that saves it are one step.
Nothing is looked at before its time: the clock's loop sleeps until the next date, the others until they are woken.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tiercel.errors import Unavailable
from tiercel.messages.topics import BROADCAST, TOPICS, TRIGGER_EVENT
from tiercel.messages.trigger_event import TriggeredExecutionEnded
from tiercel.model import ids
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import Delivery, Lease
from tiercel.runtime import retry
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.service import Service
from tiercel.schedule.zone import find_zone
from tiercel.scheduler import metrics
from tiercel.scheduler.book import Book
from tiercel.scheduler.catalogue import Catalogue
from tiercel.scheduler.core.decide import Decision, decide, due, follow, released, taken_over
from tiercel.scheduler.core.plan import Surroundings, TriggerPlan, flow_uid
from tiercel.scheduler.expressions import Expressions
from tiercel.scheduler.handlers import broadcast, trigger_event
from tiercel.scheduler.launch import Launcher
from tiercel.scheduler.settings import SchedulerSettings
from tiercel.scheduler.transaction import Pending, leases_of
from tiercel.statestore.base import LeaseLost, StaleState

log = logging.getLogger(__name__)
_TOPICS = {topic.name: topic for topic in TOPICS}
FAILED_PAUSE = timedelta(minutes=1)
"""A trigger whose decision fails for a reason of ours is tried again after this time."""
LOCKS_PER_QUERY = 1000
"""Executions that the state store is asked for at a time."""


class SchedulerService(Service):
    """Owns triggers by partition, and fires each date of them once."""

    name = "scheduler"

    def __init__(self, adapters: Adapters, settings: SchedulerSettings | None = None) -> None:
        super().__init__()
        assert adapters.statestore is not None, "A scheduler needs a state store."
        assert adapters.leases is not None, "A scheduler needs leases."
        assert adapters.definitions is not None, "A scheduler needs definitions."
        self._queue, self._store, self._leases = adapters.queue, adapters.statestore, adapters.leases
        self._clock = adapters.clock
        self._settings = settings or SchedulerSettings()
        self.instance = ids.new_id(self._clock.now())
        zone = find_zone(self._settings.timezone)
        around = Surroundings(
            zone=zone,
            recover=self._settings.recover_missed_schedules,
            variables={
                "globals": dict(self._settings.globals),
                "envs": dict(self._settings.envs),
                "kestra": dict(self._settings.kestra),
            },
        )
        self._expressions = Expressions(adapters, zone, recursive=self._settings.recursive_rendering)
        self._catalogue = Catalogue(adapters.definitions, self._expressions, around, self._clock)
        self._launcher = Launcher(self._expressions, self._settings.encryption_key)
        self._book = Book(self._queue.partitions, timedelta(seconds=self._settings.horizon_s))
        self._sequence = itertools.count(1)
        """Numbers what is written into the logs of triggers."""
        self._owned: dict[int, Lease] = {}
        self._step = asyncio.Lock()
        self._moved = asyncio.Event()
        """Set when something may come due earlier than the clock's loop knows."""
        self._news = self._queue.subscribe(BROADCAST)

    async def start(self) -> None:
        await retry.waiting("flows", self.prepare)
        await retry.waiting("leases", self.renew)
        self.spawn("leases", self._keep_leases())
        self.spawn("events", self._read_events())
        self.spawn("clock", self._follow_clock())
        self.spawn("news", self._hear_news())
        self.spawn("reconciler", self._reconcile())
        self.spawn("locks", self._check_locks())

    async def drain(self) -> None:
        """Give the partitions back, so that another scheduler need not wait for them to expire."""
        async with self._step:
            self._forget(list(self._owned))
            try:
                await self._leases.leave(self.name, self.instance)
            except Unavailable as error:
                log.warning("leases were not given back: %s", error, extra={"action": "leases_not_released"})

    @property
    def owned(self) -> dict[int, Lease]:
        """The partitions that this scheduler owns."""
        return dict(self._owned)

    def next_wake(self) -> datetime | None:
        """Return when something comes due next, None when nothing is known."""
        return self._book.next_wake()

    # What the loops do, one step at a time.

    async def prepare(self) -> None:
        """Read all flows."""
        await self._catalogue.refresh()

    async def renew(self) -> None:
        """Keep what is owned, take what is free, give back what is too much."""
        async with self._step:
            if self.stopping:
                return  # what was given back must not be taken again
            await self._leases.announce(self.name, self.instance, level=TRIGGER_EVENT.level)
            taken = await self._leases.take(
                self.name, self.instance, level=TRIGGER_EVENT.level, ttl_s=self._settings.lease_ttl_s
            )
            leases = {lease.partition: lease for lease in taken}
            surplus = await self._leases.surplus(self.name, self.instance)
            for partition in surplus:
                leases.pop(partition, None)
            kept = {part for part, lease in leases.items() if self._is_owned(lease)}
            self._forget([part for part in self._owned if part not in kept])
            new = {part: lease for part, lease in leases.items() if part not in kept}
            if new:
                await self._take_over(new)
            if surplus:
                await self._leases.release(self.name, self.instance, surplus)
            metrics.LEASES.set(len(self._owned))
            metrics.TRIGGERS.set(len(self._book))

    async def read_events(self) -> int:
        """Decide what waits in the owned partitions; return how many events."""
        async with self._step:
            if not self._owned:
                return 0
            owned = sorted(self._owned)
            deliveries = await self._queue.read(TRIGGER_EVENT, owned, count=self._settings.batch_count)
            if not deliveries:
                return 0
            pending = self._pending()
            await trigger_event.handle(
                deliveries, pending, self._catalogue, self._expressions, self._queue, self._clock.now()
            )
            await self._commit(pending, deliveries)
            return len(deliveries)

    async def fire(self) -> int:
        """Do what is due by now, one batch of it; return for how many triggers."""
        async with self._step:
            now = self._clock.now()
            uids = self._book.take_due(now, self._settings.batch_count)
            if not uids:
                return 0
            metrics.LOOPS.inc()
            began = time.perf_counter()
            pending = self._pending()
            for uid in uids:
                state, plan = pending.known(uid)
                if state is None or plan is None:
                    continue
                try:
                    decision = await self._expressions.decided(plan.flow, now, partial(due, state, plan, now))
                    await pending.add(uid, plan, decision, now)
                except Unavailable:
                    raise
                except Exception:  # one trigger must not stop the others
                    log.exception("trigger failed", extra={"action": "trigger_failed", "trigger": uid})
                    self._book.postpone(uid, now + FAILED_PAUSE)
            await self._commit(pending)
            metrics.LOOP_SECONDS.observe(time.perf_counter() - began)
            return len(uids)

    async def follow(self, tenant_id: str, namespace: str, flow_id: str) -> None:
        """Follow a flow's last revision with the triggers that are owned."""
        async with self._step:
            await self._follow_flows([await self._catalogue.learn(tenant_id, namespace, flow_id)])

    async def reconcile(self) -> None:
        """Compare all flows with what is known of them."""
        async with self._step:
            await self._follow_flows(await self._catalogue.refresh())

    async def check_locks(self) -> None:
        """Unlock triggers whose execution has ended unheard, or is not known to anybody."""
        async with self._step:
            locked = [entry for entry in self._book if entry.state.locked and entry.state.evaluating_since is None]
            for start in range(0, len(locked), LOCKS_PER_QUERY):
                part = locked[start : start + LOCKS_PER_QUERY]
                asked = [entry.state.execution_id for entry in part if entry.state.execution_id is not None]
                known = await self._store.versions(asked) if asked else {}
                pending, now = self._pending(), self._clock.now()
                for entry in part:
                    decision = self._judged(entry.state, entry.plan, known)
                    if decision is not None:
                        await pending.add(entry.state.uid, entry.plan, decision, now)
                await self._commit(pending)

    # Loops.

    async def _keep_leases(self) -> None:
        while True:
            # Leases are renewed in time, free ones are taken at once.
            await self._leases.changed(self.name, self._settings.lease_renew_s)
            await retry.waiting("leases", self.renew)

    async def _read_events(self) -> None:
        while True:
            if not await retry.waiting("trigger events", self.read_events):
                # A message wakes it; the time is a safety net.
                await self._queue.wait(TRIGGER_EVENT, self._settings.wait_s, partitions=sorted(self._owned))

    async def _follow_clock(self) -> None:
        while True:
            self._moved.clear()
            if await retry.waiting("trigger states", self.fire):
                continue
            wake = self._book.next_wake()
            await self._sleep((wake - self._clock.now()).total_seconds() if wake is not None else None)

    async def _hear_news(self) -> None:
        async for message in self._news:
            await retry.waiting("flows", partial(broadcast.handle, message, self.follow))

    async def _reconcile(self) -> None:
        while True:
            await self._clock.sleep(self._settings.reconcile_s)  # a missed broadcast is what nobody can announce
            await retry.waiting("flows", self.reconcile)

    async def _check_locks(self) -> None:
        while True:
            await self._clock.sleep(self._settings.lock_check_s)  # silence is what is looked for: no event tells it
            await retry.waiting("trigger locks", self.check_locks)

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep until the time has come or something moved."""
        moved = asyncio.ensure_future(self._moved.wait())
        waits: set[asyncio.Future[Any]] = {moved}
        if seconds is not None:
            waits.add(asyncio.ensure_future(self._clock.sleep(seconds)))  # until the next slot
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # Within a step.

    def _pending(self) -> Pending:
        return Pending(self._book, self._launcher, self.instance, self._sequence)

    def _is_owned(self, lease: Lease) -> bool:
        known = self._owned.get(lease.partition)
        return known is not None and known.token == lease.token

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            if self._owned.pop(partition, None) is not None:
                metrics.LEASE_CHANGES.inc()
        if partitions:
            self._book.drop_partitions(partitions)

    async def _take_over(self, new: dict[int, Lease]) -> None:
        """Read the triggers of partitions that are newly owned, and make them agree with the flows."""
        self._owned.update(new)
        metrics.LEASE_CHANGES.inc(len(new))
        states = {state.uid: state for state in await self._store.triggers(partitions=sorted(new))}
        uids: dict[str, set[str]] = {key: set() for key in self._catalogue}
        for uid in states:
            uids.setdefault(flow_uid(uid), set()).add(uid)
        pending, now = self._pending(), self._clock.now()
        for key, stored in sorted(uids.items()):
            plans = await self._catalogue.plans(key)
            for uid in sorted({*plans, *stored}):
                if self._book.partition(uid) in new:
                    await self._take_up(pending, states.get(uid), uid, plans, now)
            pending = await self._commit_full(pending)
        await self._commit(pending)
        # Events may wait in them already, and whoever waits for events does not know these partitions.
        self._queue.wake(TRIGGER_EVENT)
        log.info(
            "partitions taken", extra={"action": "partitions_taken", "count": len(new), "triggers": len(self._book)}
        )

    async def _take_up(
        self,
        pending: Pending,
        state: TriggerState | None,
        uid: str,
        plans: dict[str, TriggerPlan | None],
        now: datetime,
    ) -> None:
        """Take up one trigger of a partition that is newly owned."""
        plan = plans.get(uid)
        if state is not None:
            self._book.put(state, plan)
        await self._follow_one(pending, uid, plan, known=uid in plans)
        followed, _ = pending.known(uid)
        if state is not None and followed is not None and plan is not None:
            grace = timedelta(seconds=self._settings.missed_grace_s)
            decision = await self._expressions.decided(
                plan.flow, now, lambda render: taken_over(followed, plan, now, render, grace)
            )
            await pending.add(uid, plan, decision, now)

    async def _follow_flows(self, keys: Iterable[str]) -> None:
        pending = self._pending()
        for key in keys:
            plans = await self._catalogue.plans(key)
            for uid in sorted({*plans, *self._book.of_flow(key)}):
                if self._book.partition(uid) in self._owned:
                    await self._follow_one(pending, uid, plans.get(uid), known=uid in plans)
            pending = await self._commit_full(pending)
        await self._commit(pending)

    async def _follow_one(self, pending: Pending, uid: str, plan: TriggerPlan | None, *, known: bool) -> None:
        """Make a trigger agree with its flow; one whose definition cannot be scheduled rests."""
        state, _ = pending.known(uid)
        now = self._clock.now()
        if plan is None and known:
            if state is not None:
                await pending.add(uid, None, Decision(state), now)
            return
        flow = plan.flow if plan is not None else None
        decision = await self._expressions.decided(flow, now, lambda render: follow(state, plan, now, render))
        await pending.add(uid, plan, decision, now)

    def _judged(self, state: TriggerState, plan: TriggerPlan | None, known: dict[str, Any]) -> Decision | None:
        execution_id, now = state.execution_id, self._clock.now()
        found = known.get(execution_id) if execution_id is not None else None
        if execution_id is None or found is None:
            since = state.last_triggered_date or state.updated_at
            unknown = since is None or now - since >= timedelta(seconds=self._settings.lock_unknown_s)
            return released(state, plan, now) if unknown else None
        if not found[1].is_terminated:
            return None
        ended = TriggeredExecutionEnded(trigger_uid=state.uid, at=now, execution_id=execution_id, state=found[1])
        return decide(state, plan, ended, now, lambda text, _: text)

    async def _commit_full(self, pending: Pending) -> Pending:
        """Commit a batch that is large enough; return the one to go on with."""
        if len(pending) < self._settings.batch_count:
            return pending
        await self._commit(pending)
        return self._pending()

    async def _commit(self, pending: Pending, deliveries: Sequence[Delivery[Any]] = ()) -> None:
        """Save and send in one transaction behind the leases; on a lost lease, forget and let others do it."""
        if pending.empty and not deliveries:
            pending.committed()
            self._moved.set()
            return
        partitions = pending.partitions | {delivery.partition for delivery in deliveries}
        leases = leases_of(self._owned, partitions)
        if leases is None:
            # An earlier batch of the same step has lost one of them; what is forgotten is read again.
            self._forget(sorted(partitions))
            return
        try:
            async with self._store.transaction(leases) as unit:
                if deliveries:
                    unit.acknowledge(TRIGGER_EVENT, deliveries)
                pending.write(unit)
        except (LeaseLost, StaleState) as error:
            metrics.LEASES_LOST.inc()
            log.warning("batch rolled back: %s", error, extra={"action": "batch_rolled_back"})
            self._forget(sorted(partitions))
            return
        except Unavailable:
            # Whether it was committed is not known: memory must not be trusted any more.
            self._forget(sorted(partitions))
            raise
        for name in pending.committed():
            self._queue.wake(_TOPICS[name])
        self._moved.set()
