"""
States and the only table of their transitions.

Kestra's names (reference 3.2) with the additions of 2.0. The table is the only authority: a change that it does not
know is refused and changes nothing. Terminal states have edges too (restart, change of state): these are new events
with their own edges, never a way around the table. `docs/state-machine.md` is drawn from here.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec


class State(StrEnum):
    """State of an execution, a task run or an attempt."""

    CREATED = "CREATED"
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    RESTARTED = "RESTARTED"
    KILLING = "KILLING"
    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    FAILED = "FAILED"
    KILLED = "KILLED"
    CANCELLED = "CANCELLED"
    QUEUED = "QUEUED"
    RETRYING = "RETRYING"
    RETRIED = "RETRIED"
    SKIPPED = "SKIPPED"
    BREAKPOINT = "BREAKPOINT"
    RESUBMITTED = "RESUBMITTED"

    @property
    def is_terminated(self) -> bool:
        """Tell whether nothing follows by itself."""
        return self in TERMINATED

    @property
    def is_failed(self) -> bool:
        return self is State.FAILED

    @property
    def is_running(self) -> bool:
        """Tell whether Kestra counts it as running (RUNNING or KILLING)."""
        return self is State.RUNNING or self is State.KILLING


TERMINATED: Final = frozenset(
    {
        State.SUCCESS,
        State.WARNING,
        State.FAILED,
        State.KILLED,
        State.CANCELLED,
        State.RETRIED,
        State.SKIPPED,
        State.RESUBMITTED,
    }
)
_ENDED: Final = frozenset({State.SUCCESS, State.WARNING, State.FAILED, State.KILLED})
_OVERRIDES: Final = frozenset({State.RESTARTED, State.SUCCESS, State.WARNING, State.FAILED, State.KILLED, State.PAUSED})
"""What a person may set a terminated execution or task run to (restart, change of state)."""

EXECUTION_TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.CREATED: frozenset(
        {State.RUNNING, State.QUEUED, State.CANCELLED, State.FAILED, State.KILLING, State.KILLED, State.PAUSED} | _ENDED
    ),
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.FAILED, State.KILLING, State.KILLED}),
    State.RUNNING: frozenset(
        {State.PAUSED, State.RETRYING, State.RETRIED, State.KILLING, State.CANCELLED, State.BREAKPOINT} | _ENDED
    ),
    State.PAUSED: frozenset({State.RUNNING, State.RESTARTED, State.KILLING, State.CANCELLED} | _ENDED),
    State.BREAKPOINT: frozenset({State.RUNNING, State.KILLING, State.CANCELLED, State.FAILED}),
    State.RETRYING: frozenset({State.RUNNING, State.KILLING, State.CANCELLED} | _ENDED),
    State.RESTARTED: frozenset({State.RUNNING, State.QUEUED, State.KILLING, State.CANCELLED, State.PAUSED} | _ENDED),
    State.KILLING: frozenset({State.KILLED, State.CANCELLED, State.FAILED, State.SUCCESS, State.WARNING}),
    State.SUCCESS: _OVERRIDES,
    State.WARNING: _OVERRIDES,
    State.FAILED: _OVERRIDES,
    State.KILLED: _OVERRIDES,
    State.CANCELLED: _OVERRIDES,
    State.RETRIED: _OVERRIDES,
}

TASK_RUN_TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.CREATED: frozenset(
        {State.SUBMITTED, State.RUNNING, State.SKIPPED, State.PAUSED, State.BREAKPOINT, State.KILLING} | _ENDED
    ),
    State.SUBMITTED: frozenset(
        {State.RUNNING, State.KILLING, State.SUBMITTED, State.RESUBMITTED, State.CANCELLED} | _ENDED
    ),
    State.RUNNING: frozenset(
        {State.PAUSED, State.KILLING, State.RETRYING, State.RETRIED, State.SUBMITTED, State.SKIPPED, State.CANCELLED}
        | _ENDED
    ),
    State.PAUSED: frozenset({State.RUNNING, State.RESTARTED, State.KILLING, State.CANCELLED} | _ENDED),
    State.BREAKPOINT: frozenset({State.CREATED, State.KILLING, State.KILLED}),
    State.KILLING: frozenset({State.KILLED, State.SUCCESS, State.WARNING, State.FAILED, State.CANCELLED}),
    State.FAILED: frozenset({State.RETRYING, State.RETRIED} | _OVERRIDES | {State.RUNNING}),
    State.RETRYING: frozenset({State.CREATED, State.KILLED, State.KILLING, State.CANCELLED, State.FAILED}),
    State.RESTARTED: frozenset(
        {State.SUBMITTED, State.RUNNING, State.SKIPPED, State.PAUSED, State.BREAKPOINT, State.KILLING} | _ENDED
    ),
    State.SUCCESS: frozenset(_OVERRIDES | {State.RUNNING}),
    State.WARNING: frozenset(_OVERRIDES | {State.RUNNING}),
    State.KILLED: frozenset(_OVERRIDES | {State.RUNNING}),
    State.CANCELLED: frozenset(_OVERRIDES | {State.RUNNING}),
    State.SKIPPED: frozenset(_OVERRIDES | {State.RUNNING}),
    State.RETRIED: _OVERRIDES,
}


class StateChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of a history: the state, and the instant (UTC) since when."""

    state: State
    date: datetime
