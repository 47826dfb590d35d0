"""The changes of one batch of decisions: each built on those before it, saved and sent together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, assert_never

import msgspec

from tiercel.messages.broadcast import TriggerStopped
from tiercel.messages.history import LogBatch
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT, HISTORY
from tiercel.messages.worker_job import TriggerJob
from tiercel.model.execution import LogEntry
from tiercel.model.lane import lane_of_all
from tiercel.model.task import SelectorMatch
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import LANE_DEFAULT, Outgoing, OutgoingJob
from tiercel.runtime.metrics import FLOWS
from tiercel.scheduler import metrics
from tiercel.scheduler.book import Book
from tiercel.scheduler.core.dates import variables_at
from tiercel.scheduler.core.decide import Decision
from tiercel.scheduler.core.effects import Evaluate, Fire, Note, Stop
from tiercel.scheduler.core.plan import TriggerPlan
from tiercel.scheduler.launch import Launcher
from tiercel.statestore.base import Unit

log = logging.getLogger(__name__)
_LEVELS: Final = {"WARN": logging.WARNING, "ERROR": logging.ERROR}


class Pending:
    """Decisions that are not saved yet."""

    def __init__(self, book: Book, launcher: Launcher, producer: str, sequence: Iterator[int]) -> None:
        self._producer = producer
        self._sequence = sequence
        self._book = book
        self._launcher = launcher
        self._states: dict[str, TriggerState | None] = {}
        self._plans: dict[str, TriggerPlan | None] = {}
        self._was: dict[str, int | None] = {}
        self._messages: list[Outgoing] = []
        self._jobs: list[OutgoingJob] = []

    def __len__(self) -> int:
        return len(self._states)

    @property
    def empty(self) -> bool:
        """True when nothing is to be saved or sent."""
        return not (self._states or self._messages or self._jobs)

    @property
    def partitions(self) -> set[int]:
        """The partitions whose leases the transaction needs."""
        return {self._book.partition(uid) for uid in self._states}

    def known(self, uid: str) -> tuple[TriggerState | None, TriggerPlan | None]:
        """Return state and plan of a trigger as they are after the decisions so far."""
        entry = self._book.get(uid)
        state, plan = (entry.state, entry.plan) if entry is not None else (None, None)
        return self._states.get(uid, state), self._plans.get(uid, plan)

    async def add(self, uid: str, plan: TriggerPlan | None, decision: Decision, now: datetime) -> None:
        """Take up a decision; what cannot be made of it raises before anything is changed."""
        messages, jobs = await self._made(uid, plan, decision, now)
        before, _ = self.known(uid)
        if decision.state != before or uid in self._states:
            self._was.setdefault(uid, before.version if before is not None else None)
            self._states[uid] = decision.state
        self._plans[uid] = plan
        self._messages += messages
        self._jobs += jobs

    def write(self, unit: Unit) -> None:
        """Note everything in a transaction."""
        for uid, state in self._states.items():
            if state is not None:
                unit.save_trigger(state, self._book.partition(uid), self._was[uid])
            elif self._was[uid] is not None:
                unit.delete_trigger(uid)
        if self._messages:
            unit.emit(*self._messages)
        if self._jobs:
            unit.send(*self._jobs)

    def committed(self) -> set[str]:
        """Make memory follow the database; return the names of the topics that were written to."""
        metrics.BATCH_SIZE.observe(len(self._states))
        for uid in {**self._states, **self._plans}:
            state, plan = self.known(uid)
            self._count_lock(uid, state)
            if state is None:
                self._book.drop(uid)
            else:
                self._book.put(state, plan)
        for message in self._messages:
            if message.topic is EXECUTION_EVENT:
                _count_execution(message.message)
        metrics.EVALUATIONS.inc(len(self._jobs))
        return {message.topic.name for message in self._messages} | ({"worker_job"} if self._jobs else set())

    def _count_lock(self, uid: str, state: TriggerState | None) -> None:
        entry = self._book.get(uid)
        if entry is None or state is None or entry.state.execution_id is None or state.execution_id is not None:
            return
        since, until = entry.state.last_triggered_date, state.updated_at
        if since is not None and until is not None:
            metrics.LOCK_SECONDS.observe(max(0.0, (until - since).total_seconds()))

    async def _made(
        self, uid: str, plan: TriggerPlan | None, decision: Decision, now: datetime
    ) -> tuple[list[Outgoing], list[OutgoingJob]]:
        messages: list[Outgoing] = []
        jobs: list[OutgoingJob] = []
        for effect in decision.effects:
            match effect:
                case Fire():
                    assert plan is not None, "Only a trigger with a plan fires."
                    command = await self._launcher.command(plan, effect, now)
                    messages.append(Outgoing(topic=EXECUTION_EVENT, key=command.execution_id, message=command))
                    if effect.scheduled and (decision.state is None or decision.state.backfill is None):
                        metrics.DELAY_SECONDS.observe(max(0.0, (now - effect.date).total_seconds()))
                case Evaluate():
                    assert plan is not None, "Only a trigger with a plan is evaluated."
                    jobs.append(OutgoingJob(lane=_lane(plan), job=_job(plan, effect.date)))
                case Stop():
                    stopped = TriggerStopped(trigger_uid=uid, worker=effect.worker, evaluation=effect.evaluation)
                    messages.append(Outgoing(topic=BROADCAST, key="", message=stopped))
                case Note():
                    level = _LEVELS.get(effect.level, logging.INFO)
                    log.log(level, effect.text, extra={"action": "trigger_noted", "trigger": uid})
                    messages.append(self._line(uid, effect, now))
                case _:
                    assert_never(effect)
        return messages, jobs

    def _line(self, uid: str, note: Note, now: datetime) -> Outgoing:
        """Return a line of the trigger's own log."""
        tenant_id, namespace, flow_id, trigger_id = uid.split("/", 3)
        entry = LogEntry(
            tenant_id=tenant_id,
            namespace=namespace,
            flow_id=flow_id,
            trigger_id=trigger_id,
            timestamp=now,
            level=note.level,
            message=note.text,
        )
        batch = LogBatch(producer=self._producer, sequence=next(self._sequence), entries=(entry,))
        return Outgoing(topic=HISTORY, key=uid, message=batch)


def _count_execution(command: Any) -> None:
    flow = FLOWS.labels(command.tenant_id, command.namespace, command.flow_id)
    metrics.EXECUTIONS.labels(*flow, command.trigger.type if command.trigger is not None else "unknown").inc()


def leases_of(owned: dict[int, Any], partitions: Iterable[int]) -> list[Any] | None:
    """Return the leases of partitions, None when one of them is not owned any more."""
    found = [owned.get(partition) for partition in sorted(partitions)]
    return None if any(lease is None for lease in found) else found


def _lane(plan: TriggerPlan) -> str:
    """Return the lane of workers that may evaluate the trigger."""
    for holder in (plan.trigger, plan.flow):
        group, selector = holder.worker_group, holder.worker_selector
        if group is not None and group.key:
            return group.key
        if selector is not None and selector.tags:
            return selector.tags[0] if selector.match is SelectorMatch.ANY else lane_of_all(selector.tags)
    return LANE_DEFAULT


def _job(plan: TriggerPlan, date: datetime) -> TriggerJob:
    definition = plan.flow.document.get("triggers", [])[plan.place]
    return TriggerJob(
        tenant_id=plan.flow.tenant_id,
        namespace=plan.flow.namespace,
        flow_id=plan.flow.id,
        flow_revision=plan.flow.revision or 0,
        trigger_id=plan.trigger.id,
        trigger_uid=plan.uid,
        definition=msgspec.Raw(msgspec.msgpack.encode(definition)),
        context=variables_at(plan, date),
        evaluated_at=date,
        log_level=plan.trigger.log_level,
        dialect=str(plan.flow.dialect),
    )
