"""
Live state: the records of which an execution consists while the executor owns it.

An execution is a head, task runs and, for everything that has children, a branch of counters. Counters replace scans:
the cost of an event is what it changes. Each record is saved on its own.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from tiercel.model.execution import Execution, OutputRef, TaskRun


class Phase(StrEnum):
    """Which list of children is being worked on."""

    TASKS = "tasks"
    ERRORS = "errors"
    FINALLY = "finally"
    AFTER = "after"


class Branch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What is known of the children of a flowable (or of the execution itself) without looking at them.

    `total` counts what will be started in this phase (tasks, or groups of a loop), `next` the first that has not been,
    `live` children that have not ended, `ended` those that have. `failed`, `warned`, `killed` count ends in the phase
    `tasks` only: they decide the final state. `name` is the branch that was chosen (`then`, `cases.a` …).
    `done` names the children that ended where their order is not the list's (Dag). `behind` counts live children that
    do not belong to the phase (tasks that still run when `errors` have begun).
    """

    phase: Phase = Phase.TASKS
    name: str = "tasks"
    total: int = 0
    next: int = 0
    live: int = 0
    ended: int = 0
    failed: int = 0
    warned: int = 0
    killed: int = 0
    behind: int = 0
    iteration: int = 0
    done: tuple[str, ...] = ()
    data: dict[str, Any] = {}


class HeadRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    An execution's head with what the executor alone needs to know.

    `next_seq` is the place of the next task run; `paused` and `waiting` count task runs that are paused, and jobs that
    wait or run. `stalled` are flowables (`seq`, -1 for the execution) whose children may go on after a resume or when
    jobs have ended. `scope` names the concurrency scope whose slot it holds or waits for. `final` is the state that a
    kill ends in. `done` says that everything is over, tasks after the end included. `timers` are those that are set.
    """

    execution: Execution
    branch: Branch = Branch()
    next_seq: int = 0
    paused: int = 0
    retrying: int = 0
    waiting: int = 0
    suspended: bool = False
    stalled: tuple[int, ...] = ()
    scope: str | None = None
    quota: str | None = None
    """The quotas that it waits for, before it starts."""
    kill_requested: bool = False
    final: str | None = None
    final_run: int | None = None
    """The task run that ends in `final` too, instead of KILLED."""
    done: bool = False
    timers: tuple[tuple[int, int], ...] = ()
    reopen: tuple[int, ...] | None = None
    """Task runs that a restart opens again when it gets its slot; None while no restart waits."""
    violated: tuple[str, ...] = ()
    """Agreements (SLA) that were violated already."""


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    A task run with what the executor alone needs to know.

    A `folded` run has ended and is counted by its parent: it is not loaded with its execution.
    """

    run: TaskRun
    branch: Branch | None = None
    folded: bool = False
    worker: str | None = None
    returned_by: str | None = None
    """Who has handed back a job of which it is not known yet that this worker had it."""
    returns: tuple[tuple[str, datetime], ...] = ()
    """Who has handed its job back and when, the latest: one that is told again is none."""
    deadline: datetime | None = None
    child_id: str | None = None
    resubmits: int = 0
    generation: int = 0


class OutputKind(IntEnum):
    """What a stored value belongs to, besides the outputs of a task run."""

    OUTPUTS = 0
    VALUES = 1
    PAGE = 2
    """Outputs of some iterations of a Loop; its `seq` is a place that no task run has."""


class OutputRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Outputs of a task run (or the values of a loop), kept beside the execution."""

    seq: int
    task_id: str
    kind: OutputKind = OutputKind.OUTPUTS
    ref: OutputRef
    path: tuple[str, ...] = ()
    """Values of the iterations around and of the run, outermost first: where `outputs.<task>` shows it."""


class TimerKind(IntEnum):
    """Why an execution wants to be woken."""

    SCHEDULED_START = 1
    PAUSE_END = 2
    RETRY = 3
    LOOP_CHECK = 4
    KILL_DEADLINE = 5
    SLA = 6
    FLOW_RETRY = 7
    CONTINUE = 8
    TRIGGER = 9


class Timer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A wake-up: `owner` is an execution id (or trigger uid), `subject` a task run's `seq` or another small number."""

    owner: str
    kind: TimerKind
    subject: int = 0
    due: datetime
