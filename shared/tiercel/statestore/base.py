"""
The state store's port: what owner services (executor, scheduler) know, and the one transaction that changes it.

A transaction begins with the fence: it fails with `LeaseLost` when one of its leases has another owner by now, and
then nothing of it happens. In it are acknowledged the messages that caused it, saved the records that changed, and
sent the messages that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

import msgspec

from tiercel.errors import TiercelError
from tiercel.messages.execution_event import TaskStarted
from tiercel.messages.topics import Topic
from tiercel.model.live import HeadRecord, OutputKind, OutputRecord, RunRecord, Timer, TimerKind
from tiercel.model.state import State
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import Delivery, Lease, Outgoing, OutgoingJob


class LeaseLost(TiercelError):
    """A partition has another owner: the transaction was rolled back; forget what is known of the partition."""


class StaleState(TiercelError):
    """A record was changed by another owner (a version does not match): rolled back; read again."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as it is stored: its head, and the task runs that are not folded."""

    head: HeadRecord
    runs: tuple[RunRecord, ...]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as a reader sees it: all task runs and their outputs, read together, in order of `seq`."""

    head: HeadRecord
    runs: tuple[RunRecord, ...]
    outputs: tuple[OutputRecord, ...]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that a worker has."""

    execution_id: str
    seq: int
    attempt: int
    worker: str


class Changes(msgspec.Struct, kw_only=True):
    """
    What a batch changes of one execution; exactly this is written.

    `was_version` is the version in the store before, None when the execution is new. `head.execution.version` is the
    new one. `new_runs` are inserted, `changed_runs` updated; what is removed is removed first.
    """

    partition: int
    head: HeadRecord
    was_version: int | None
    new_runs: list[RunRecord] = []
    changed_runs: list[RunRecord] = []
    removed_runs: list[int] = []
    outputs: list[OutputRecord] = []
    removed_outputs: list[int] = []
    timers: list[Timer] = []
    cleared_timers: list[tuple[TimerKind, int]] = []
    held: list[Held] = []
    unheld: list[int] = []
    jobs: list[OutgoingJob] = []
    revoked: list[int] | None = None
    """`seq` of jobs to take back if nobody has claimed them; None for none, an empty list for all of the execution."""
    deleted: bool = False


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A concurrency scope (who holds its slots, and who waits, in order), or another aggregate beside executions."""

    id: str
    holders: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    limit: int = 1
    reserved: int = 0
    """Slots that a person keeps from being taken."""
    body: dict[str, Any] = {}
    """What an aggregate that counts no slots knows (the windows of a Flow trigger), in its own form."""
    version: int = 0


class Unit(Protocol):
    """One fenced transaction. Calls only note what is to be done; it happens when the block ends without an error."""

    def acknowledge(self, topic: Topic[Any], deliveries: Sequence[Delivery[Any]]) -> None:
        """Take the messages that caused this out of the queue; the transaction fails when one of them is gone."""
        ...

    def save(self, changes: Changes) -> None:
        """Write what changed of an execution, if its stored version is the one that was changed."""
        ...

    def save_scope(self, scope: Scope, partition: int, was_version: int | None) -> None:
        """Write a scope, if its stored version is this one (None: if there is none)."""
        ...

    def save_trigger(self, trigger: TriggerState, partition: int, was_version: int | None) -> None:
        """Write a trigger's state, if its stored version is this one (None: if there is none)."""
        ...

    def delete_trigger(self, uid: str) -> None:
        """Remove a trigger's state."""
        ...

    def park(self, execution_id: str, partition: int, event: Any) -> None:
        """Keep an event that has to wait, behind those of its execution that wait already."""
        ...

    def unpark(self, deliveries: Sequence[Delivery[Any]]) -> None:
        """Remove parked events."""
        ...

    async def hand_out(self, jobs: Sequence[OutgoingJob]) -> list[TaskStarted]:
        """
        Give those of these jobs to workers now that somebody is free for; return what was given.

        Called once, before `save`. The jobs are sent by this transaction as all others are, and nobody else will tell
        that those that are returned are started. On some backends workers fetch jobs, and nothing is ever given.
        """
        ...

    def emit(self, *messages: Outgoing) -> None:
        """Send messages; they are there when the transaction is committed."""
        ...

    def send(self, *jobs: OutgoingJob) -> None:
        """Send jobs; they are there when the transaction is committed."""
        ...


class StateStore(Protocol):
    """Keeps live state: durable, fenced, read by id."""

    def transaction(self, leases: Sequence[Lease]) -> AbstractAsyncContextManager[Unit]:
        """Open a transaction; leaving the block commits, raising LeaseLost or StaleState when it cannot."""
        ...

    async def load(self, execution_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return the executions that exist, in one query."""
        ...

    async def snapshot(self, execution_id: str) -> Snapshot | None:
        """Return an execution with everything that a reader sees of it, in one query; None when it is not here."""
        ...

    async def runs(self, execution_id: str) -> list[RunRecord]:
        """Return all task runs of an execution, folded ones too, in order of `seq`."""
        ...

    async def outputs(
        self,
        execution_id: str,
        *,
        seqs: Sequence[int] | None = None,
        task_ids: Sequence[str] | None = None,
        kind: OutputKind = OutputKind.OUTPUTS,
    ) -> list[OutputRecord]:
        """Return outputs of an execution, of these task runs or of all runs of these tasks, in order of `seq`."""
        ...  # fmt: skip

    async def timers(self, service: str, partitions: Sequence[int], until: datetime, limit: int) -> list[Timer]:
        """Return the timers of these partitions that are due before `until`, earliest first."""
        ...

    async def held(self, partitions: Sequence[int], workers: Sequence[str] | None = None) -> list[Held]:
        """Return what these workers (or all) hold in these partitions."""
        ...

    async def versions(self, execution_ids: Sequence[str]) -> dict[str, tuple[int, State]]:
        """Return version and state of the executions that exist; cheap, for followers."""
        ...

    async def parked(self, partitions: Sequence[int]) -> list[tuple[str, int]]:
        """Return the executions (id, partition) of these partitions that have parked events."""
        ...

    async def parked_events(self, execution_ids: Sequence[str], limit: int) -> list[Delivery[Any]]:
        """Return parked events in the order in which they were parked, at most `limit` of each execution."""
        ...

    async def scopes(self, ids: Sequence[str]) -> dict[str, Scope]:
        """Return those of these scopes that exist, by id."""
        ...

    async def scopes_under(self, prefix: str, *, after: str = "", count: int) -> list[Scope]:
        """Return scopes whose id begins with `prefix` and comes after another one, in order of their ids."""
        ...

    async def triggers(
        self, partitions: Sequence[int] | None = None, uids: Sequence[str] | None = None
    ) -> list[TriggerState]:
        """Return stored trigger states of these partitions, or these ones, or all."""
        ...

    async def forget_ended(self, executions: Sequence[tuple[str, int]]) -> None:
        """Remove terminated executions (id, version) with everything that belongs to them, unless they have changed."""
        ...

    async def ended_before(self, partitions: Sequence[int], instant: datetime, limit: int) -> list[tuple[str, int]]:
        """Return (id, version) of executions that ended before the instant and wait for no timer."""
        ...

    async def close(self) -> None:
        """Let go of connections and the like; nothing is asked of it afterwards."""
        ...


JANITOR = "janitor"
"""The service name of the lease that the one process holds which cleans up."""
DISPATCHER = "dispatcher"
"""The service name of the lease that the one process holds which hands out jobs (Kafka)."""
SINGLE = frozenset({JANITOR, DISPATCHER})
"""Services that have a single partition."""


class Leases(Protocol):
    """
    Who owns which partition of a service's keys.

    A service has as many partitions as KEYED topics have. One that was taken from an owner that let it expire carries
    one crash more; a clean release, or a minute of ownership, sets the count back. A partition in which a message of a
    newer level waits is taken only by instances of that level.
    """

    async def announce(self, service: str, instance: str, *, level: int, draining: bool = False) -> None:
        """Say that this instance lives (every few seconds)."""
        ...

    async def take(self, service: str, instance: str, *, level: int, ttl_s: float) -> list[Lease]:
        """
        Renew what this instance owns, take free or expired partitions up to its fair share; return all that it owns.

        It does not give back a surplus: `surplus` names it, `release` gives it back.
        """
        ...

    async def surplus(self, service: str, instance: str) -> list[int]:
        """Return partitions that this instance should hand to others."""
        ...

    async def release(self, service: str, instance: str, partitions: Sequence[int]) -> None:
        """Give partitions back at once; others are woken."""
        ...

    async def leave(self, service: str, instance: str) -> None:
        """Release all partitions and forget the instance."""
        ...

    async def expire(self, service: str, instance: str) -> None:
        """
        Say that an instance is known to be dead: its partitions are free at once, and count a crash.

        Only who has seen the end of its process may say so.
        """
        ...

    async def suspect(self, lease: Lease, message_id: int | None) -> None:
        """
        Write into the lease which message is about to be worked on, so that the next owner knows what killed this one.

        None when it went well. Nothing happens when the lease is lost: the next transaction will say so.
        """
        ...

    async def changed(self, service: str, timeout: float) -> None:
        """Return when partitions of the service were given back, or after `timeout` seconds; it may return early."""
        ...
