"""
Execution events: a batch of them is decided in memory and saved in one transaction.

Events of the same execution are decided on top of each other, each in a layer of its own, so that one that fails takes
only its layer with it; one that must wait for facts is parked, and what comes later for its execution behind it.
Memory follows the database: aggregates change after the commit, and when a commit fails every execution of the batch
is dropped from memory and read again.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tiercel.errors import InternalError, Unavailable
from tiercel.executor import metrics
from tiercel.executor.archive import COMMANDS, KNOWN, PAST, Archive
from tiercel.executor.batch import Batch
from tiercel.executor.cache import Entry, ExecutionCache
from tiercel.executor.changes import changes_of, history_of, stamp
from tiercel.executor.core import scopes
from tiercel.executor.core.decide import ExecutionOnly, decide
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts, Failure, Missing, Surroundings, Want
from tiercel.executor.core.plan import inside
from tiercel.executor.core.successors import taken_over
from tiercel.executor.facts_source import FactsSource
from tiercel.executor.listeners import FlowListeners
from tiercel.executor.parking import EVENTS_MAX, FAR, MustWait, Parking, Wait
from tiercel.executor.tally import tally
from tiercel.messages import execution_event as events
from tiercel.messages.history import LogBatch
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY, partition_of
from tiercel.model.live import Timer
from tiercel.model.tenant import MAIN_TENANT
from tiercel.queue.base import Delivery, Lease, Outgoing, Queue
from tiercel.statestore.base import Scope, StateStore

log = logging.getLogger(__name__)

PASSES_MAX = 50
"""A decision that still lacks facts after so many rounds asks in circles."""


OwnScope = events.ScopeEvent | events.UpstreamChanged | events.WindowEnded
"""Events of the aggregates beside executions, which are kept as scopes."""


class ExecutionEventHandler:
    """Decides batches of events for the partitions that this executor owns."""

    def __init__(
        self,
        queue: Queue,
        store: StateStore,
        source: FactsSource,
        cache: ExecutionCache,
        around: Surroundings,
        listeners: FlowListeners,
        parking: Parking,
        archive: Archive,
        instance: str,
    ) -> None:
        self._queue = queue
        self._store = store
        self._source = source
        self._cache = cache
        self.around = around
        self._listeners = listeners
        self._parking = parking
        self._archive = archive
        self._instance = instance
        self._batch_numbers = itertools.count(1)
        self.trusts_creates = True
        """A create is taken for a new execution without asking; the insert refuses one that exists (StaleState)."""

    async def handle(
        self,
        deliveries: Sequence[Delivery[Any]],
        own: Sequence[ExecutionOnly | events.WindowEnded],
        leases: Sequence[Lease],
    ) -> list[Timer]:
        """
        Decide and save a batch: messages, and events of our own (timers, lost workers); return the timers it set.

        Raises LeaseLost, StaleState or Unavailable when it could not be saved; then nothing has happened.
        """
        batch = Batch()
        readable = [delivery for delivery in deliveries if delivery.message is not None]
        for delivery in deliveries:
            if delivery.message is None:
                await self._queue.bury(EXECUTION_EVENT, delivery, delivery.error or "It cannot be decoded.")
                metrics.DEAD_LETTERS.inc()
        batch.returned, parked = await self._parking.begin(lease.partition for lease in leases)
        received = [delivery.message for delivery in (*parked, *readable) if delivery.message is not None]
        await self._prepare(batch, received, own, leases)
        began = time.perf_counter()
        await self._decide_parked(batch, parked)
        for delivery in readable:
            await self._decide_safely(batch, delivery.message, delivery)
        for event in own:
            await self._decide_safely(batch, event, None)
        count = len(readable) + len(own)
        seconds = (time.perf_counter() - began) / count if count else 0.0
        for _ in range(count):
            metrics.EVENT_SECONDS.observe(seconds)
        return await self._save(batch, deliveries, leases)

    async def _decide_parked(self, batch: Batch, parked: Sequence[Delivery[Any]]) -> None:
        """Decide events that were parked before; those of an execution that must wait again stay."""
        for delivery in parked:
            if delivery.key in batch.waits:
                continue
            if delivery.message is None:
                await self._queue.bury(EXECUTION_EVENT, delivery, delivery.error or "It cannot be decoded.")
            else:
                await self._decide_safely(batch, delivery.message, delivery, is_parked=True)
            if delivery.key not in batch.waits:
                batch.unparked.append(delivery)
        for execution_id, count in Counter(delivery.key for delivery in parked).items():
            if count >= EVENTS_MAX:  # there may be more, which come before what is new
                batch.waits.setdefault(execution_id, Wait(self._partition(execution_id)))

    async def _prepare(
        self, batch: Batch, received: Sequence[Any], own: Iterable[Any], leases: Sequence[Lease]
    ) -> None:
        """Read what the batch touches and memory does not hold, in one query."""
        wanted: dict[str, None] = {}
        wanted_scopes: dict[str, None] = {}
        for event in (*received, *own):
            if isinstance(event, OwnScope):
                wanted_scopes[event.execution_id] = None
            elif self._cache.get(event.execution_id) is None and not (
                self.trusts_creates and isinstance(event, events.CreateExecution)
            ):
                wanted[event.execution_id] = None
        if wanted:
            await self._load(batch, list(wanted))
        await self._ask_archive(batch, received, leases)
        if wanted_scopes:
            stored = await self._store.scopes(list(wanted_scopes))
            for scope_id in wanted_scopes:
                scope = stored.get(scope_id)
                batch.scopes[scope_id] = batch.scopes_read[scope_id] = scope or Scope(id=scope_id)
                batch.scope_was[scope_id] = None if scope is None else scope.version

    async def _ask_archive(self, batch: Batch, received: Sequence[Any], leases: Sequence[Lease]) -> None:
        """Bring back what is commanded and was forgotten, and learn which old creates are repeated ones."""
        creates = [event for event in received if isinstance(event, events.CreateExecution)]
        known = batch.unreadable.keys() | {event.execution_id for event in creates}
        gone = {event.execution_id for event in received if isinstance(event, COMMANDS)} - known
        gone = {execution_id for execution_id in gone if self._cache.get(execution_id) is None}
        batch.repeated = set(await self._from_history(batch, KNOWN, self._archive.old(creates)))
        past = await self._from_history(batch, PAST, gone if self._archive.exists else set())
        if past:
            back = await self._archive.bring_back(past.values(), self._queue.partitions, leases)
            await self._load(batch, back)

    async def _from_history(self, batch: Batch, sort: str, execution_ids: set[str]) -> dict[str, Any]:
        """Return what history answers for these executions; when it takes long their events wait."""
        answers: dict[str, Any] = {}
        asked = set[str]()
        for execution_id in execution_ids & batch.returned.keys():
            for want, found in batch.returned[execution_id].known.items():
                if want.sort == sort and execution_id in want.key:
                    asked.add(execution_id)
                    answers |= {} if isinstance(found, Failure) else found
        rest = tuple(sorted(execution_ids - asked))
        if rest:
            known: dict[Want, Any] = {}
            try:
                await self._parking.fetch([Want(sort, rest)], rest[0], "", self._partition(rest[0]), known)
            except MustWait as waits:
                for execution_id in rest:
                    batch.waits[execution_id] = Wait(self._partition(execution_id), known, waits.wait.task)
            else:
                found = known[Want(sort, rest)]
                answers |= {} if isinstance(found, Failure) else found
        return {execution_id: answers[execution_id] for execution_id in execution_ids if execution_id in answers}

    async def _load(self, batch: Batch, wanted: Sequence[str]) -> None:
        """Put executions into the cache; one that cannot be read is found by reading them one by one."""
        try:
            for execution_id, found in (await self._store.load(wanted)).items():
                execution = found.head.execution
                plan = await self._source.plan(
                    execution.tenant_id, execution.namespace, execution.flow_id, execution.flow_revision
                )
                entry = Entry(self._partition(execution_id), inside(plan, execution.loop_run), found)
                self._cache.put(execution_id, entry)
        except Unavailable:
            raise
        except Exception as error:  # what is wrong with one execution's records must not stop its partition
            if len(wanted) > 1:
                for execution_id in wanted:
                    await self._load(batch, [execution_id])
                return
            metrics.FAILED_EVENTS.inc()
            log.exception("state could not be read", extra={"action": "state_unreadable", "execution_id": wanted[0]})
            batch.unreadable[wanted[0]] = f"The state of execution '{wanted[0]}' cannot be read: {error}"

    def _partition(self, key: str) -> int:
        return partition_of(key, self._queue.partitions)

    def _waits(self, batch: Batch, event: Any) -> bool:
        """Tell whether an event comes behind others that wait; a kill of an execution that exists waits for nothing."""
        execution_id = event.execution_id
        if execution_id not in batch.waits and (execution_id not in self._parking or execution_id in batch.returned):
            return False
        if isinstance(event, events.KillRequested) and self._exists(batch, execution_id):
            self._parking.end(execution_id)
            return False
        return True

    def _exists(self, batch: Batch, execution_id: str) -> bool:
        entry = self._cache.get(execution_id)
        return execution_id in batch.drafts or (entry is not None and entry.aggregate is not None)

    async def _decide_safely(
        self, batch: Batch, event: Any, delivery: Delivery[Any] | None, *, is_parked: bool = False
    ) -> None:
        """Decide an event; one that raises fails its execution, with the reason, and goes to the dead letters."""
        if not is_parked and self._waits(batch, event):
            batch.parked.append(event)
            return
        if event.execution_id in batch.unreadable:
            if delivery is not None:
                await self._queue.bury(EXECUTION_EVENT, delivery, batch.unreadable[event.execution_id])
            return
        try:
            await self._decide(batch, event)
        except Unavailable:
            raise
        except MustWait as waits:
            batch.waits[event.execution_id] = waits.wait
            if not is_parked:
                batch.parked.append(event)
        except Exception as error:  # whatever a decision raises concerns one execution, never the batch
            metrics.FAILED_EVENTS.inc()
            log.exception(
                "event could not be decided",
                extra={"action": "event_failed", "execution_id": event.execution_id, "event": type(event).__name__},
            )
            reason = f"The event {type(event).__name__} could not be processed: {error}"
            if delivery is not None:
                await self._queue.bury(EXECUTION_EVENT, delivery, reason)
            told = _failure(event, reason)
            if told is not None:
                await self._decide_safely(batch, told, None)

    async def _decide(self, batch: Batch, event: Any) -> None:
        if isinstance(event, events.UpstreamChanged | events.WindowEnded):
            await self._decide_trigger(batch, event)
            return
        if isinstance(event, events.ScopeEvent):
            scope, answers = scopes.decide(batch.scopes[event.execution_id], event)
            batch.scopes[event.execution_id] = scope
            batch.messages += answers
            return
        if event.execution_id in batch.repeated and isinstance(event, events.CreateExecution):
            return
        entry = batch.entries.get(event.execution_id) or await self._entry(event)
        below = batch.drafts.get(event.execution_id)
        facts = entry.facts(self.around)
        tenant_id = _tenant(event, entry)
        if (waited := batch.returned.get(event.execution_id)) is not None:
            facts.known |= waited.known
            waited.known = {}
        for _ in range(PASSES_MAX):
            try:
                draft = decide(below if below is not None else entry.aggregate, event, facts)
                break
            except Missing as missing:
                await self._fetch(missing.wants, event.execution_id, tenant_id, entry, facts)
        else:
            raise InternalError("The decision still lacks facts after many rounds.")
        if not draft.exists and isinstance(event, events.CreateExecution):
            log.warning(
                "execution of an unknown flow dropped",
                extra={"action": "execution_dropped", "execution_id": event.execution_id, "flow": event.flow_id},
            )
        draft.messages += self._listeners.told(draft)
        told = taken_over(draft, event) if isinstance(event, events.TaskFinished) else ()
        if draft.exists or draft.messages:
            batch.entries[event.execution_id] = entry
            batch.was.setdefault(
                event.execution_id, entry.aggregate.head.execution.version if entry.aggregate is not None else None
            )
            if below is None:
                batch.drafts[event.execution_id] = draft
            else:
                below.absorb(draft)
        for each in told:
            await self._decide(batch, each)

    async def _fetch(
        self, wants: Sequence[Want], execution_id: str, tenant_id: str, entry: Entry, facts: Facts
    ) -> None:
        near = [want for want in wants if want.sort not in FAR]
        await self._source.fetch(near, execution_id, tenant_id, entry, facts)
        far = [want for want in wants if want.sort in FAR]
        if far:
            await self._parking.fetch(far, execution_id, tenant_id, entry.partition, facts.known)

    async def _decide_trigger(self, batch: Batch, event: events.UpstreamChanged | events.WindowEnded) -> None:
        key = event.execution_id
        outcome = await self._listeners.decide(batch.scopes[key], event, self._partition(key))
        batch.scopes[key] = outcome.scope
        batch.messages += outcome.messages
        if outcome.logs:
            number = next(self._batch_numbers)
            lines = LogBatch(producer=self._instance, sequence=number, entries=tuple(outcome.logs))
            batch.messages.append(Outgoing(topic=HISTORY, key=key, message=lines))

    async def _entry(self, event: ExecutionOnly) -> Entry:
        """Return what memory holds of the execution, or a new entry for one that does not exist."""
        found = self._cache.get(event.execution_id)
        if found is not None:
            return found
        plan = None
        if isinstance(event, events.CreateExecution):
            plan = await self._source.plan(event.tenant_id, event.namespace, event.flow_id, event.flow_revision)
            plan = inside(plan, event.loop_run)
        return Entry(self._partition(event.execution_id), plan, None)

    async def _save(self, batch: Batch, deliveries: Sequence[Delivery[Any]], leases: Sequence[Lease]) -> list[Timer]:
        saved: list[tuple[str, Draft]] = []
        timers: list[Timer] = []
        try:
            async with self._store.transaction(leases) as unit:
                jobs = [out for draft in batch.drafts.values() for out in draft.jobs.values()]
                for started in await unit.hand_out(jobs) if jobs else ():
                    await self._decide_safely(batch, started, None)
                unit.acknowledge(EXECUTION_EVENT, deliveries)
                unit.unpark(batch.unparked)
                for event in batch.parked:
                    unit.park(event.execution_id, self._partition(event.execution_id), event)
                for execution_id, draft in batch.drafts.items():
                    if draft.exists and draft.touched:
                        was = batch.was[execution_id]
                        stamp(draft, was)
                        unit.save(changes_of(draft, batch.entries[execution_id].partition, was))
                        unit.emit(*history_of(draft, self._instance, self._batch_numbers))
                        timers += [timer for timer in draft.timers.values() if timer is not None]
                        saved.append((execution_id, draft))
                    unit.emit(*draft.messages)
                for scope_id, scope in batch.scopes.items():
                    if scope is batch.scopes_read[scope_id]:
                        continue
                    was = batch.scope_was[scope_id]
                    changed = msgspec.structs.replace(scope, version=(was or 0) + 1)
                    unit.save_scope(changed, self._partition(scope_id), was)
                unit.emit(*batch.messages)
        except BaseException:  # cancelled too, memory never leads the database
            self._cache.drop(batch.entries)
            self._parking.doubt(lease.partition for lease in leases)
            for wait in batch.waits.values():
                wait.end()
            raise
        self._parking.saved(batch.returned, batch.waits)
        for execution_id, draft in saved:
            self._commit(execution_id, batch.entries[execution_id], draft)
        self._cache.shrink()
        metrics.BATCH_EVENTS.observe(len(deliveries))
        return timers

    def _commit(self, execution_id: str, entry: Entry, draft: Draft) -> None:
        known = entry.aggregate
        tally(draft, known.head if known else None, known.runs if known else {}, entry.plan)
        entry.commit(draft)
        if draft.deleted or (draft.head.done and draft.head.execution.state.is_terminated):
            # What is over is seldom asked for again; it is read back when it is.
            self._cache.drop((execution_id,))
        else:
            self._cache.put(execution_id, entry)


def _failure(event: Any, reason: str) -> ExecutionOnly | None:
    """Return the event that tells an execution of one that failed; None when there is nobody to tell."""
    if isinstance(event, events.CreateExecution):
        # There is no execution yet: one is created that shows why it could not be.
        return msgspec.structs.replace(event, failed=reason) if event.failed is None else None
    if isinstance(event, events.EventFailed | OwnScope):
        return None
    return events.EventFailed(execution_id=event.execution_id, at=event.at, reason=reason, event=type(event).__name__)


def _tenant(event: ExecutionOnly, entry: Entry) -> str:
    if isinstance(event, events.CreateExecution):
        return event.tenant_id
    return entry.aggregate.head.execution.tenant_id if entry.aggregate is not None else MAIN_TENANT
