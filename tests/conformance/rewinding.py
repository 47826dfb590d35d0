"""
An execution as it was in the moment of an action: the first snapshot that the action's answer shows, before it runs.

The engine answers and goes on at once, so the moment is read off the histories: everything later than the last entry of
the state in question is left out.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from tests.conformance.snapshot import Snapshot
from tiercel.model.execution import Attempt, TaskRun
from tiercel.model.state import StateChange


def rewound(snapshot: Snapshot, state: str) -> Snapshot:
    """Return the execution as it was when it last came into a state; as it is when it never was in it."""
    history = snapshot.execution.history
    places = [place for place, change in enumerate(history) if change.state.value == state]
    if not places:
        return snapshot
    cut = history[: places[-1] + 1]
    at = cut[-1].date
    execution = msgspec.structs.replace(snapshot.execution, history=cut, state=cut[-1].state)
    # What began in that very moment came of the action: it was not there before.
    runs = [_run_at(run, at) for run in snapshot.task_runs if run.history[0].date < at]
    return Snapshot(execution, runs, snapshot.outputs_by_seq, snapshot.outputs_tree, snapshot.loop)


def _run_at(run: TaskRun, at: datetime) -> TaskRun:
    # What the action itself did to the run is its first change in that moment; later ones came of going on.
    before = [change for change in run.history if change.date < at]
    history = (*before, *[change for change in run.history if change.date == at][:1])
    attempts = tuple(
        _attempt_at(attempt, at, history)
        for attempt in run.attempts
        if not attempt.history or attempt.history[0].date < at
    )
    return msgspec.structs.replace(run, history=history, state=history[-1].state, attempts=attempts)


def _attempt_at(attempt: Attempt, at: datetime, history: tuple[StateChange, ...]) -> Attempt:
    kept = tuple(change for change in attempt.history if change.date <= at)
    return msgspec.structs.replace(attempt, history=kept, state=kept[-1].state) if kept else attempt
