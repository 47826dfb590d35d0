"""
The state store in memory: records are kept as the bytes that a database would keep.

A transaction is checked whole before anything of it is applied, so that one that fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from tiercel.messages import codec
from tiercel.messages.execution_event import TaskStarted
from tiercel.messages.topics import Topic
from tiercel.model.live import OutputKind, OutputRecord, RunRecord, Timer, TimerKind
from tiercel.model.state import State
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import Delivery, Lease, Outgoing, OutgoingJob
from tiercel.statestore import records
from tiercel.statestore.base import Changes, Held, Loaded, Scope, Snapshot, StaleState, Unit


@dataclasses.dataclass(kw_only=True)
class _Row:
    """One execution with everything that belongs to it."""

    partition: int
    head: bytes
    version: int
    state: State
    ended_at: datetime | None
    runs: dict[int, tuple[bool, bytes]] = dataclasses.field(default_factory=dict)
    outputs: dict[tuple[int, OutputKind], tuple[str, bytes]] = dataclasses.field(default_factory=dict)


class MemoryUnit:
    """What one transaction is to do, in the order in which it was said."""

    def __init__(self) -> None:
        self.acknowledged: list[tuple[Topic[Any], Sequence[Delivery[Any]]]] = []
        self.changes: list[Changes] = []
        self.scopes: list[tuple[Scope, int, int | None]] = []
        self.triggers: list[tuple[TriggerState, int, int | None]] = []
        self.deleted_triggers: list[str] = []
        self.parked: list[tuple[str, int, bytes]] = []
        self.unparked: list[int] = []
        self.messages: list[Outgoing] = []
        self.jobs: list[OutgoingJob] = []

    def acknowledge(self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]]) -> None:
        self.acknowledged.append((topic, deliveries))

    def save(self, changes: Changes) -> None:
        self.changes.append(changes)

    def save_scope(self, scope: Scope, partition: int, was_version: int | None) -> None:
        self.scopes.append((scope, partition, was_version))

    def save_trigger(self, trigger: TriggerState, partition: int, was_version: int | None) -> None:
        self.triggers.append((trigger, partition, was_version))

    def delete_trigger(self, uid: str) -> None:
        self.deleted_triggers.append(uid)

    def park(self, execution_id: str, partition: int, event: Any) -> None:
        self.parked.append((execution_id, partition, codec.encode(event)))

    def unpark(self, deliveries: Sequence[Delivery[Any]]) -> None:
        self.unparked.extend(delivery.id for delivery in deliveries)

    async def hand_out(self, jobs: Sequence[OutgoingJob]) -> list[TaskStarted]:
        return []

    def emit(self, *messages: Outgoing) -> None:
        self.messages.extend(messages)

    def send(self, *jobs: OutgoingJob) -> None:
        self.jobs.extend(jobs)


class MemoryStateStore:
    """Keeps live state in dictionaries of bytes."""

    def __init__(self) -> None:
        self._executions: dict[str, _Row] = {}
        self._timers: dict[tuple[str, int], dict[tuple[str, TimerKind, int], datetime]] = {}
        self._held: dict[int, dict[tuple[str, int], Held]] = {}
        self._scopes: dict[str, tuple[int, bytes]] = {}
        self._parked: dict[int, tuple[str, int, bytes]] = {}
        self._parked_numbers = itertools.count(1)
        self._triggers: dict[str, tuple[int, int, bytes]] = {}

    @contextlib.asynccontextmanager
    async def transaction(self, leases: Sequence[Lease]) -> AsyncIterator[Unit]:
        """Open a transaction; it is committed when the block ends."""
        unit = MemoryUnit()
        yield unit
        self._commit(unit, leases)

    def _commit(self, unit: MemoryUnit, leases: Sequence[Lease]) -> None:
        raise NotImplementedError("A transaction needs the queue and the leases: use MemoryBackend.")

    # Reading

    async def load(self, execution_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return heads and task runs that are not folded."""
        return {
            name: Loaded(
                head=records.decode_head(row.head),
                runs=tuple(records.decode_run(body) for _, (folded, body) in sorted(row.runs.items()) if not folded),
            )
            for name in execution_ids
            if (row := self._executions.get(name)) is not None
        }

    async def snapshot(self, execution_id: str) -> Snapshot | None:
        """Return an execution as it is now, None when it is not here."""
        row = self._executions.get(execution_id)
        if row is None:
            return None
        return Snapshot(
            head=records.decode_head(row.head),
            runs=tuple(await self.runs(execution_id)),
            outputs=tuple(await self.outputs(execution_id)),
        )

    async def runs(self, execution_id: str) -> list[RunRecord]:
        """Return all task runs."""
        row = self._executions.get(execution_id)
        return [records.decode_run(body) for _, (_, body) in sorted(row.runs.items())] if row is not None else []

    async def outputs(
        self,
        execution_id: str,
        *,
        seqs: Sequence[int] | None = None,
        task_ids: Sequence[str] | None = None,
        kind: OutputKind = OutputKind.OUTPUTS,
    ) -> list[OutputRecord]:
        """Return outputs of an execution."""
        row = self._executions.get(execution_id)
        wanted_seqs = None if seqs is None else set(seqs)
        wanted_tasks = None if task_ids is None else set(task_ids)
        return [
            records.decode_output(body)
            for (seq, stored_kind), (task_id, body) in sorted(row.outputs.items() if row is not None else ())
            if stored_kind is kind
            and (wanted_seqs is None or seq in wanted_seqs)
            and (wanted_tasks is None or task_id in wanted_tasks)
        ]

    async def timers(self, service: str, partitions: Sequence[int], until: datetime, limit: int) -> list[Timer]:
        """Return timers that are due before `until`, earliest first."""
        found = [
            Timer(owner=owner, kind=kind, subject=subject, due=due)
            for part in partitions
            for (owner, kind, subject), due in self._timers.get((service, part), {}).items()
            if due < until
        ]
        return sorted(found, key=lambda timer: (timer.due, timer.owner, timer.kind, timer.subject))[:limit]

    async def held(self, partitions: Sequence[int], workers: Sequence[str] | None = None) -> list[Held]:
        """Return what workers hold."""
        return [
            held
            for part in partitions
            for _, held in sorted(self._held.get(part, {}).items())
            if workers is None or held.worker in workers
        ]

    async def versions(self, execution_ids: Sequence[str]) -> dict[str, tuple[int, State]]:
        """Return version and state."""
        rows = ((name, self._executions.get(name)) for name in execution_ids)
        return {name: (row.version, row.state) for name, row in rows if row is not None}

    async def parked(self, partitions: Sequence[int]) -> list[tuple[str, int]]:
        """Return the executions that have parked events."""
        found = {name: part for name, part, _ in self._parked.values() if part in partitions}
        return list(found.items())

    async def parked_events(self, execution_ids: Sequence[str], limit: int) -> list[Delivery[Any]]:
        """Return parked events in order."""
        wanted = dict.fromkeys(execution_ids, limit)
        found = []
        for number, (name, part, body) in sorted(self._parked.items()):
            if wanted.get(name, 0) > 0:
                wanted[name] -= 1
                found.append(records.parked_delivery(number, part, name, body))
        return found

    async def scopes(self, ids: Sequence[str]) -> dict[str, Scope]:
        """Return the scopes that exist."""
        return {name: records.decode_scope(self._scopes[name][1]) for name in ids if name in self._scopes}

    async def scopes_under(self, prefix: str, *, after: str = "", count: int) -> list[Scope]:
        """Return scopes by the beginning of their ids."""
        names = sorted(name for name in self._scopes if name.startswith(prefix) and name > after)
        return [records.decode_scope(self._scopes[name][1]) for name in names[:count]]

    async def triggers(
        self, partitions: Sequence[int] | None = None, uids: Sequence[str] | None = None
    ) -> list[TriggerState]:
        """Return trigger states."""
        return [
            records.decode_trigger(body)
            for uid, (part, _, body) in sorted(self._triggers.items())
            if (partitions is None or part in partitions) and (uids is None or uid in uids)
        ]

    async def forget_ended(self, executions: Sequence[tuple[str, int]]) -> None:
        """Remove terminated executions."""
        for name, version in executions:
            row = self._executions.get(name)
            if row is not None and row.ended_at is not None and row.version == version:
                self._remove(name)

    async def ended_before(self, partitions: Sequence[int], instant: datetime, limit: int) -> list[tuple[str, int]]:
        """Return executions that ended before the instant and wait for no timer, the earliest first."""
        timed = {owner for timers in self._timers.values() for owner, _, _ in timers}
        found = [
            (row.ended_at, name, row.version)
            for name, row in self._executions.items()
            if row.ended_at is not None and row.ended_at < instant and row.partition in partitions and name not in timed
        ]
        return [(name, version) for _, name, version in sorted(found)[:limit]]

    # Writing

    def _check_versions(self, unit: MemoryUnit) -> None:
        """Raise StaleState unless every record is as its writer believes, saves of the same record in order."""
        versions: dict[tuple[str, str], int | None] = {}
        runs: dict[tuple[str, int], bool] = {}

        def expect(kind: str, name: str, stored: int | None, was: int | None, new: int | None) -> None:
            if versions.get((kind, name), stored) != was:
                raise StaleState(f"The {kind} '{name}' is not at version {was} in the state store; read it again.")
            versions[kind, name] = new

        for changes in unit.changes:
            execution = changes.head.execution
            row = self._executions.get(execution.id)
            stored = row.version if row is not None else None
            expect(
                "execution", execution.id, stored, changes.was_version, None if changes.deleted else execution.version
            )
            if not changes.deleted:
                runs.update(((execution.id, seq), False) for seq in changes.removed_runs)
                _check_runs(changes, row, runs)
        for scope, _, was in unit.scopes:
            old_scope = self._scopes.get(scope.id)
            expect("scope", scope.id, _version_of(old_scope), was, scope.version)
        for trigger, _, was in unit.triggers:
            old = self._triggers.get(trigger.uid)
            expect("trigger", trigger.uid, old[1] if old is not None else None, was, trigger.version)

    def _apply(self, unit: MemoryUnit, services: dict[int, str]) -> None:
        for number in unit.unparked:
            self._parked.pop(number, None)
        for parked in unit.parked:
            self._parked[next(self._parked_numbers)] = parked
        for changes in unit.changes:
            self._apply_changes(changes, services.get(changes.partition, "executor"))
        for scope, part, _ in unit.scopes:
            self._scopes[scope.id] = (part, records.encode(scope))
        for trigger, part, _ in unit.triggers:
            self._triggers[trigger.uid] = (part, trigger.version, records.encode(trigger))
        for uid in unit.deleted_triggers:
            self._triggers.pop(uid, None)

    def _apply_changes(self, changes: Changes, service: str) -> None:
        execution, part = changes.head.execution, changes.partition
        if changes.deleted:
            self._remove(execution.id)
            return
        row = self._executions.get(execution.id)
        if row is None:
            row = _Row(partition=part, head=b"", version=0, state=execution.state, ended_at=None)
            self._executions[execution.id] = row
        row.head, row.version, row.state = records.encode(changes.head), execution.version, execution.state
        row.ended_at = records.ended_at(changes.head)
        for seq in changes.removed_runs:
            row.runs.pop(seq, None)
        for run in (*changes.new_runs, *changes.changed_runs):
            row.runs[run.run.seq] = (run.folded, records.encode(run))
        for seq in changes.removed_outputs:
            for kind in OutputKind:
                row.outputs.pop((seq, kind), None)
        for output in changes.outputs:
            row.outputs[output.seq, output.kind] = (output.task_id, records.encode(output))
        timers = self._timers.setdefault((service, part), {})
        for timer_kind, subject in changes.cleared_timers:
            timers.pop((execution.id, timer_kind, subject), None)
        for timer in changes.timers:
            timers[timer.owner, timer.kind, timer.subject] = timer.due
        held = self._held.setdefault(part, {})
        for seq in changes.unheld:
            held.pop((execution.id, seq), None)
        for holding in changes.held:
            held[holding.execution_id, holding.seq] = holding

    def _remove(self, execution_id: str) -> None:
        row = self._executions.pop(execution_id, None)
        if row is None:
            return
        for (_, part), timers in self._timers.items():
            if part == row.partition:
                for key in [key for key in timers if key[0] == execution_id]:
                    del timers[key]
        held = self._held.get(row.partition, {})
        for place in [place for place in held if place[0] == execution_id]:
            del held[place]


def _version_of(scope: tuple[int, bytes] | None) -> int | None:
    return records.decode_scope(scope[1]).version if scope is not None else None


def _check_runs(changes: Changes, row: _Row | None, known: dict[tuple[str, int], bool]) -> None:
    """Raise StaleState when a new task run exists or a changed one does not."""
    name = changes.head.execution.id
    stored = row.runs if row is not None else {}
    for run in changes.new_runs:
        if known.get((name, run.run.seq), run.run.seq in stored):
            raise StaleState(f"Task run {run.run.seq} of execution '{name}' exists already; read the execution again.")
        known[name, run.run.seq] = True
    for run in changes.changed_runs:
        if not known.get((name, run.run.seq), run.run.seq in stored):
            raise StaleState(f"Task run {run.run.seq} of execution '{name}' is gone; read the execution again.")
