"""Records of a batch as columns; an empty dictionary means that there is nothing to write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tiercel.model.live import RunRecord
from tiercel.runtime.postgres.array import bools, byteas, instants, int2s, int4s, int8s, texts
from tiercel.statestore import records
from tiercel.statestore.base import Changes

Columns = dict[str, Any]


def heads(batch: Sequence[Changes]) -> Columns:
    """Return the heads; `was` and `parts` serve updates and inserts."""
    executions = [changes.head.execution for changes in batch]
    return {
        "ids": texts([execution.id for execution in executions]),
        "parts": int2s([changes.partition for changes in batch]),
        "was": int8s([changes.was_version or 0 for changes in batch]),
        "versions": int8s([execution.version for execution in executions]),
        "states": texts([execution.state for execution in executions]),
        "ended": instants([records.ended_at(changes.head) for changes in batch]),
        "heads": byteas([records.encode(changes.head) for changes in batch]),
        "count": len(batch),
    }


def places(wanted: Iterable[tuple[Changes, Sequence[int]]]) -> Columns:
    """Return places in executions."""
    rows = [(changes.head.execution.id, seq) for changes, seqs in wanted for seq in seqs]
    return {"ids": texts([name for name, _ in rows]), "seqs": int8s([seq for _, seq in rows])} if rows else {}


def runs(wanted: Iterable[tuple[Changes, Sequence[RunRecord]]]) -> Columns:
    """Return task runs."""
    rows = [(changes.head.execution.id, run) for changes, found in wanted for run in found]
    if not rows:
        return {}
    return {
        "ids": texts([name for name, _ in rows]),
        "seqs": int8s([run.run.seq for _, run in rows]),
        "folded": bools([run.folded for _, run in rows]),
        "bodies": byteas([records.encode(run) for _, run in rows]),
        "count": len(rows),
    }


def outputs(batch: Sequence[Changes]) -> Columns:
    """Return outputs, the last one where several have the same place."""
    found = {
        (changes.head.execution.id, output.seq, output.kind): output for changes in batch for output in changes.outputs
    }
    if not found:
        return {}
    return {
        "ids": texts([name for name, _, _ in found]),
        "seqs": int8s([seq for _, seq, _ in found]),
        "kinds": int2s([kind for _, _, kind in found]),
        "tasks": texts([output.task_id for output in found.values()]),
        "bodies": byteas([records.encode(output) for output in found.values()]),
    }


def held(batch: Sequence[Changes]) -> Columns:
    """Return what workers have, the last one of each place."""
    found = {(row.execution_id, row.seq): (changes.partition, row) for changes in batch for row in changes.held}
    if not found:
        return {}
    return {
        "ids": texts([name for name, _ in found]),
        "seqs": int8s([seq for _, seq in found]),
        "attempts": int4s([row.attempt for _, row in found.values()]),
        "parts": int2s([part for part, _ in found.values()]),
        "workers": texts([row.worker for _, row in found.values()]),
    }


def cleared_timers(batch: Sequence[Changes]) -> Columns:
    """Return the keys of timers that go."""
    rows = [(changes.head.execution.id, *key) for changes in batch for key in changes.cleared_timers]
    if not rows:
        return {}
    return {
        "owners": texts([owner for owner, _, _ in rows]),
        "kinds": int2s([kind for _, kind, _ in rows]),
        "subjects": int8s([subject for _, _, subject in rows]),
    }


def timers(batch: Sequence[Changes], services: dict[int, str]) -> Columns:
    """Return timers, the last one of each key; they belong to the service that holds the partition's lease."""
    found = {
        (timer.owner, timer.kind, timer.subject): (changes.partition, timer)
        for changes in batch
        for timer in changes.timers
    }
    if not found:
        return {}
    return {
        "services": texts([services.get(part, "executor") for part, _ in found.values()]),
        "parts": int2s([part for part, _ in found.values()]),
        "dues": instants([timer.due for _, timer in found.values()]),
        "owners": texts([owner for owner, _, _ in found]),
        "kinds": int2s([kind for _, kind, _ in found]),
        "subjects": int8s([subject for _, _, subject in found]),
    }
