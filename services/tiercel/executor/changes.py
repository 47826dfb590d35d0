"""From a draft to what is written: the records of the state store, and the history for the indexer."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tiercel.executor.core.draft import Draft
from tiercel.messages.history import ExecutionChanged, ExecutionDeleted, LogBatch, MetricBatch
from tiercel.messages.topics import HISTORY
from tiercel.model.live import OutputKind
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Changes

replace = msgspec.structs.replace


def stamp(draft: Draft, was_version: int | None) -> None:
    """Give the execution its next version."""
    draft.change(version=(was_version or 0) + 1)


def changes_of(draft: Draft, partition: int, was_version: int | None) -> Changes:
    """Return what a draft writes of its execution."""
    return Changes(
        partition=partition,
        head=draft.head,
        was_version=was_version,
        new_runs=[draft.runs[seq] for seq in sorted(draft.created) if seq in draft.runs],
        changed_runs=[record for seq, record in draft.runs.items() if seq not in draft.created],
        removed_runs=draft.removed,
        outputs=draft.outputs,
        removed_outputs=draft.removed_outputs,
        timers=[timer for timer in draft.timers.values() if timer is not None],
        cleared_timers=[key for key, timer in draft.timers.items() if timer is None],
        held=[held for held in draft.held.values() if held is not None],
        unheld=[seq for seq, held in draft.held.items() if held is None],
        jobs=list(draft.jobs.values()),
        revoked=draft.revoked,
        deleted=draft.deleted,
    )


def history_of(draft: Draft, producer: str, numbers: Iterator[int]) -> list[Outgoing]:
    """Return what the indexer is told; `numbers` are those of the producer's batches."""
    execution = draft.execution
    if draft.deletion is not None:
        asked = draft.deletion
        gone = ExecutionDeleted(execution_id=execution.id, logs=asked.logs, metrics=asked.metrics)
        return [Outgoing(topic=HISTORY, key=execution.id, message=gone)]
    changed = ExecutionChanged(
        execution=execution,
        runs=tuple(record.run for record in draft.runs.values()),
        outputs={record.seq: record.ref for record in draft.outputs if record.kind is OutputKind.OUTPUTS},
        removed=tuple(draft.removed),
    )
    messages = [Outgoing(topic=HISTORY, key=execution.id, message=changed)]
    if draft.logs:
        batch = LogBatch(producer=producer, sequence=next(numbers), entries=tuple(draft.logs))
        messages.append(Outgoing(topic=HISTORY, key=execution.id, message=batch))
    if draft.measurements:
        measured = MetricBatch(producer=producer, sequence=next(numbers), entries=tuple(draft.measurements))
        messages.append(Outgoing(topic=HISTORY, key=execution.id, message=measured))
    return messages
