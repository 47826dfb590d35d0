"""
One fenced transaction as a handful of statements, whatever the number of executions in it.

The notes of the block become columns, and the columns one pipelined, implicit transaction: fence, acknowledgements,
guarded changes, messages, sent in one go and committed by the end of the pipeline. A guard that does not hold raises
in the server, so that nothing after it happens and nothing before it remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from tiercel.messages import codec
from tiercel.messages.execution_event import TaskStarted
from tiercel.messages.topics import Topic
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import Delivery, Lease, Outgoing, OutgoingJob
from tiercel.queue.postgres.fence import fence_columns
from tiercel.queue.postgres.mail import Mail
from tiercel.queue.postgres.sending import SQL as QUEUE_SQL
from tiercel.runtime.postgres.array import byteas, int2s, int8s, texts
from tiercel.runtime.postgres.batch import Statement
from tiercel.runtime.postgres.statement import Statements
from tiercel.statestore import records
from tiercel.statestore.base import Changes, Scope
from tiercel.statestore.postgres import columns

SQL: Final = Statements("tiercel.statestore.postgres", "state.sql")


class PostgresUnit:
    """What one transaction is to do."""

    def __init__(self, leases: Sequence[Lease], mail: Mail, stack: AsyncExitStack) -> None:
        self._leases = leases
        self._mail = mail
        self._stack = stack
        self._waves: list[dict[str, Changes]] = []
        self._scopes: list[tuple[Scope, int, int | None]] = []
        self._triggers: list[tuple[TriggerState, int, int | None]] = []
        self._deleted_triggers: list[str] = []
        self._parked: list[tuple[str, int, bytes]] = []
        self._unparked: list[int] = []

    def acknowledge(self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]]) -> None:
        self._mail.acknowledge(topic, deliveries)

    def save(self, changes: Changes) -> None:
        name = changes.head.execution.id
        for wave in self._waves:
            if name not in wave:
                wave[name] = changes
                break
        else:  # a second change of the same execution is decided on top of the first, and is written after it
            self._waves.append({name: changes})
        self._mail.add_jobs(changes.jobs)

    def save_scope(self, scope: Scope, partition: int, was_version: int | None) -> None:
        self._scopes.append((scope, partition, was_version))

    def save_trigger(self, trigger: TriggerState, partition: int, was_version: int | None) -> None:
        self._triggers.append((trigger, partition, was_version))

    def delete_trigger(self, uid: str) -> None:
        self._deleted_triggers.append(uid)

    def park(self, execution_id: str, partition: int, event: Any) -> None:
        self._parked.append((execution_id, partition, codec.encode(event)))

    def unpark(self, deliveries: Sequence[Delivery[Any]]) -> None:
        self._unparked.extend(delivery.id for delivery in deliveries)

    async def hand_out(self, jobs: Sequence[OutgoingJob]) -> list[TaskStarted]:
        return await self._stack.enter_async_context(self._mail.hand_out(jobs))

    def emit(self, *messages: Outgoing) -> None:
        self._mail.add(messages)

    def send(self, *jobs: OutgoingJob) -> None:
        self._mail.add_jobs(jobs)

    def statements(self) -> Iterator[Statement]:
        """Yield the statements of the transaction, the fence first."""
        services = {lease.partition: lease.service for lease in self._leases}
        if self._leases:
            yield QUEUE_SQL["fence"], fence_columns(self._leases)
        yield from self._mail.acknowledgements()
        for wave in self._waves:
            yield from _wave(list(wave.values()), services)
        yield from self._rows()
        yield from self._mail.messages()

    def _rows(self) -> Iterator[Statement]:
        """Yield the statements of scopes, triggers and parked events."""
        scopes = [(s.id, part, was, s.version, records.encode(s)) for s, part, was in self._scopes]
        yield from _guarded("ts.scope", SQL["update_scopes"], scopes)
        triggers = [(t.uid, part, was, t.version, records.encode(t)) for t, part, was in self._triggers]
        yield from _guarded("ts.trigger", SQL["update_triggers"], triggers)
        if self._deleted_triggers:
            yield SQL["delete_triggers"], {"ids": texts(self._deleted_triggers)}
        if self._unparked:
            yield SQL["unpark"], {"numbers": int8s(self._unparked)}
        if self._parked:
            names, parts, bodies = zip(*self._parked, strict=True)
            yield SQL["park"], {"ids": texts(names), "parts": int2s(parts), "bodies": byteas(bodies)}


def _guarded(table: str, update: bytes, rows: list[tuple[str, int, int | None, int, bytes]]) -> Iterator[Statement]:
    new = [row for row in rows if row[2] is None]
    if new:
        names, parts, _, versions, bodies = zip(*new, strict=True)
        yield (
            SQL.of("insert_rows", table),
            {"ids": texts(names), "parts": int2s(parts), "versions": int8s(versions), "bodies": byteas(bodies)},
        )
    old = [(name, was, version, body) for name, _, was, version, body in rows if was is not None]
    if old:
        ids, known, nexts, texts_of = zip(*old, strict=True)
        yield (
            update,
            {
                "ids": texts(ids),
                "was": int8s(known),
                "versions": int8s(nexts),
                "bodies": byteas(texts_of),
                "count": len(old),
            },
        )


def _wave(wave: list[Changes], services: dict[int, str]) -> Iterator[Statement]:
    """Yield the statements that change these executions, each of which is there once."""
    kept = [changes for changes in wave if not changes.deleted]
    deleted = [changes for changes in wave if changes.deleted]
    yield from _heads(kept)
    if deleted:
        yield from _deletions(deleted)
    yield from _revocations(wave)
    if removed := columns.places((changes, changes.removed_runs) for changes in kept):
        yield SQL.of("delete_parts", "ts.task_run"), removed
    if removed := columns.places((changes, changes.removed_outputs) for changes in kept):
        yield SQL.of("delete_parts", "ts.task_output"), removed
    if removed := columns.places((changes, changes.unheld) for changes in kept):
        yield SQL.of("delete_parts", "ts.held"), removed
    if new_runs := columns.runs((changes, changes.new_runs) for changes in kept):
        yield SQL["insert_runs"], new_runs
    if changed_runs := columns.runs((changes, changes.changed_runs) for changes in kept):
        yield SQL["update_runs"], changed_runs
    if outputs := columns.outputs(kept):
        yield SQL["put_outputs"], outputs
    if held := columns.held(kept):
        yield SQL["put_held"], held
    if cleared := columns.cleared_timers(kept):
        yield SQL["clear_timers"], cleared
    if timers := columns.timers(kept, services):
        yield SQL["put_timers"], timers


def _heads(kept: list[Changes]) -> Iterator[Statement]:
    new = [changes for changes in kept if changes.was_version is None]
    if new:
        yield SQL["insert_executions"], columns.heads(new)
    old = [changes for changes in kept if changes.was_version is not None]
    if old:
        yield SQL["update_executions"], columns.heads(old)


def _deletions(deleted: list[Changes]) -> Iterator[Statement]:
    ids = texts([changes.head.execution.id for changes in deleted])
    was = int8s([-1 if changes.was_version is None else changes.was_version for changes in deleted])
    yield SQL["delete_executions"], {"ids": ids, "was": was, "count": len(deleted)}
    yield from removals(ids)


def removals(ids: Any) -> Iterator[Statement]:
    """Yield the statements that remove what belongs to executions."""
    for table in ("ts.task_run", "ts.task_output", "ts.held"):
        yield SQL.of("delete_of_executions", table), {"ids": ids}
    yield SQL["delete_timers_of"], {"ids": ids}


def _revocations(wave: list[Changes]) -> Iterator[Statement]:
    whole = [changes.head.execution.id for changes in wave if changes.revoked is not None and not changes.revoked]
    if whole:
        yield QUEUE_SQL["revoke_all"], {"owners": texts(whole)}
    single = [(changes.head.execution.id, seq) for changes in wave for seq in changes.revoked or ()]
    if single:
        yield (
            QUEUE_SQL["revoke"],
            {"owners": texts([owner for owner, _ in single]), "seqs": int8s([seq for _, seq in single])},
        )
