"""Messages and records for the contracts, as small as they can be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tiercel.messages.broadcast import KillRun
from tiercel.messages.execution_event import KillRequested
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT, partition_of
from tiercel.messages.worker_job import TaskJob, TriggerJob
from tiercel.model.execution import Execution, OutputRef, TaskRun
from tiercel.model.live import HeadRecord, OutputKind, OutputRecord, RunRecord
from tiercel.model.state import State, StateChange
from tiercel.queue.base import Lease, Outgoing, OutgoingJob
from tiercel.statestore.base import Changes, Leases

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVICE = "executor"
TTL_S = 50.0
"""Longer than any test stands still, and shorter than the minute that tests let pass."""


def event(execution_id: str, minute: int = 0) -> Outgoing:
    """Make a message to an execution; `minute` tells messages apart."""
    at = NOW + timedelta(minutes=minute)
    return Outgoing(topic=EXECUTION_EVENT, key=execution_id, message=KillRequested(execution_id=execution_id, at=at))


def killed(execution_id: str) -> Outgoing:
    """Make a broadcast that tells workers to end an execution."""
    return Outgoing(topic=BROADCAST, key="", message=KillRun(execution_id=execution_id))


def minutes(deliveries: Sequence[Any]) -> list[int]:
    """Return what tells the messages apart."""
    return [int((delivery.message.at - NOW).total_seconds() // 60) for delivery in deliveries]


def job(execution_id: str, seq: int = 0, *, lane: str = "default", rank: int = 0) -> OutgoingJob:
    """Make a job of a task run."""
    return OutgoingJob(
        lane=lane,
        rank=rank,
        job=TaskJob(
            tenant_id="main",
            namespace="company.team",
            flow_id="hello",
            flow_revision=1,
            execution_id=execution_id,
            seq=seq,
            attempt=1,
            task_id="say",
            task_run_id=f"{execution_id}-{seq}",
            definition=msgspec.Raw(b"\xc0"),
            context={},
        ),
    )


def trigger_job(uid: str) -> OutgoingJob:
    """Make a job of a trigger."""
    return OutgoingJob(
        job=TriggerJob(
            tenant_id="main",
            namespace="company.team",
            flow_id="hello",
            flow_revision=1,
            trigger_id="poll",
            trigger_uid=uid,
            definition=msgspec.Raw(b"\xc0"),
            context={},
            evaluated_at=NOW,
        )
    )


def head(execution_id: str, version: int = 1, state: State = State.RUNNING, at: datetime = NOW) -> HeadRecord:
    """Make a head."""
    history = (StateChange(State.CREATED, NOW), StateChange(state, at))
    return HeadRecord(
        execution=Execution(
            id=execution_id,
            namespace="company.team",
            flow_id="hello",
            flow_revision=1,
            state=state,
            history=history,
            version=version,
            inputs={"a": [1, "b", None]},
        )
    )


def run(seq: int, state: State = State.RUNNING, *, folded: bool = False) -> RunRecord:
    """Make a task run."""
    task = TaskRun(id=f"run-{seq}", seq=seq, task_id="say", state=state, history=(StateChange(state, NOW),))
    return RunRecord(run=task, folded=folded)


def output(seq: int, task_id: str = "say", value: int = 1, kind: OutputKind = OutputKind.OUTPUTS) -> OutputRecord:
    """Make outputs of a task run."""
    return OutputRecord(seq=seq, task_id=task_id, kind=kind, ref=OutputRef(size=8, value={"n": value}))


def changes(execution_id: str, was: int | None, record: HeadRecord | None = None, **fields: Any) -> Changes:
    """Make the changes of an execution, to the version after `was`."""
    record = record or head(execution_id, (was or 0) + 1)
    return Changes(partition=partition_of(execution_id), head=record, was_version=was, **fields)


async def leases_of(leases: Leases, instance: str = "i1", service: str = SERVICE) -> list[Lease]:
    """Take all partitions."""
    await leases.announce(service, instance, level=1)
    return await leases.take(service, instance, level=1, ttl_s=TTL_S)


def lease_for(leases: Sequence[Lease], key: str) -> Lease:
    """Return the lease of a key's partition."""
    return next(lease for lease in leases if lease.partition == partition_of(key))
