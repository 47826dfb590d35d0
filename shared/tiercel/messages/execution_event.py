"""
Everything that can happen to an execution, in one topic, because order exists only inside one.

Commands of people and programs, reports of workers, answers of other executions and of concurrency scopes, timers. `at`
is when it happened (UTC), told by the process that saw it; the executor takes its time from there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tiercel.messages.successor import SuccessorResult
from tiercel.model.execution import (
    Breakpoint,
    Execution,
    ExecutionKind,
    LoopRun,
    OutputRef,
    ParentTask,
    TaskFixture,
    TriggerInfo,
)
from tiercel.model.live import OutputRecord, RunRecord, TimerKind
from tiercel.model.state import State, StateChange
from tiercel.model.tenant import MAIN_TENANT


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Base: `execution_id` is the key."""

    execution_id: str
    at: datetime


class CreateExecution(Event, frozen=True, kw_only=True):
    """Start an execution of a flow's revision. Inputs are typed already and SECRET ones encrypted."""

    tenant_id: str = MAIN_TENANT
    namespace: str
    flow_id: str
    flow_revision: int
    inputs: dict[str, Any] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    variables: dict[str, Any] = {}
    unset_variables: tuple[str, ...] = ()
    trigger: TriggerInfo | None = None
    parent: ParentTask | None = None
    parent_id: str | None = None
    original_id: str | None = None
    attempt_number: int = 1
    original_created: datetime | None = None
    schedule_date: datetime | None = None
    kind: ExecutionKind = ExecutionKind.NORMAL
    loop_run: LoopRun | None = None
    fixtures: tuple[TaskFixture, ...] = ()
    breakpoints: tuple[Breakpoint, ...] = ()
    failed: str | None = None
    """Set when it is to be created FAILED at once, with this sentence."""
    copied_runs: tuple[RunRecord, ...] = ()
    """Task runs that a replay takes over from the original, in order, with the states that they had."""
    copied_outputs: tuple[OutputRecord, ...] = ()
    copied_history: tuple[StateChange, ...] = ()
    reopened: tuple[int, ...] = ()
    """Places (`seq`) of copied task runs that are run again."""


class TaskStarted(Event, frozen=True, kw_only=True):
    """A worker has claimed the job and is about to run it."""

    seq: int
    attempt: int
    worker: str


class TaskFinished(Event, frozen=True, kw_only=True):
    """A worker has run the job to its end; `error` says why it failed, `successor` what came of its successor."""

    seq: int
    attempt: int
    worker: str
    state: State
    outputs: OutputRef | None = None
    error: str | None = None
    started_at: datetime | None = None
    log_file: str | None = None
    successor: SuccessorResult | None = None


class ChildRunReported(Event, frozen=True, kw_only=True):
    """
    A job that runs several tasks (WorkingDirectory) reports one of them, or a task reports a dynamic run.

    `seq` and `attempt` are the job's own. Reports of one child come in order; the last one is terminated.
    `task_run_id` is the id under which the worker logs and stores for the child: its run bears it.
    """

    seq: int
    attempt: int
    worker: str
    task_id: str
    value: str | None = None
    state: State
    outputs: OutputRef | None = None
    error: str | None = None
    dynamic: bool = False
    task_run_id: str | None = None


class WorkerLost(Event, frozen=True, kw_only=True):
    """The worker that held this attempt is silent for too long: it is to be run again."""

    seq: int
    attempt: int
    worker: str


class JobReturned(Event, frozen=True, kw_only=True):
    """A worker hands back a job that it did not start: it is to be run by another, as the same attempt."""

    seq: int
    attempt: int
    worker: str


class JobRefused(Event, frozen=True, kw_only=True):
    """
    The job of this task run cannot be decoded and is a dead letter: nobody will run it.

    `attempt` is told when a worker had the job already.
    """

    seq: int
    reason: str
    attempt: int | None = None


class ChildEnded(Event, frozen=True, kw_only=True):
    """An execution that a task of this one started has ended (or was created, when the task does not wait)."""

    seq: int
    attempt: int
    child_id: str
    original_id: str | None = None
    """The child that this one tried again (`CREATE_NEW_EXECUTION`): the one that the task has started."""
    state: State
    outputs: dict[str, Any] | None = None
    iteration: int | None = None
    error: str | None = None


class IterationPaused(Event, frozen=True, kw_only=True):
    """An iteration of a Loop of this execution has paused, or goes on."""

    seq: int
    iteration: int
    paused: bool


class SlotGranted(Event, frozen=True, kw_only=True):
    """The concurrency scope gives this execution a slot."""

    scope: str


class SlotRefused(Event, frozen=True, kw_only=True):
    """The concurrency scope has no slot; `behavior` says what becomes of the execution (QUEUE, CANCEL, FAIL)."""

    scope: str
    behavior: str


class QuotaAnswered(Event, frozen=True, kw_only=True):
    """The flow's quotas have room for this execution, or (`behavior` FAIL or CANCEL) not, for this reason."""

    scope: str
    behavior: str | None = None
    reason: str | None = None


class TimerDue(Event, frozen=True, kw_only=True):
    """A timer of this execution has come due."""

    kind: TimerKind
    subject: int = 0


class KillRequested(Event, frozen=True, kw_only=True):
    """End the execution as KILLED (or `state`), its children too when `cascade`."""

    cascade: bool = True
    state: State = State.KILLED


class PauseRequested(Event, frozen=True, kw_only=True):
    """Let running tasks end, start no others."""


class ResumeRequested(Event, frozen=True, kw_only=True):
    """Go on after a pause; `inputs` are the typed values of the Pause task's `onResume`."""

    inputs: dict[str, Any] | None = None
    resumed_by: str | None = None


class ReviewRequested(Event, frozen=True, kw_only=True):
    """Approve or deny what an Approval asks for: the one of the task run, or the first that waits."""

    decision: str
    task_run_id: str | None = None
    comment: str | None = None
    inputs: dict[str, Any] | None = None
    by: str | None = None


class BreakpointLeft(Event, frozen=True, kw_only=True):
    """Go on from a breakpoint; `breakpoints` are those that hold from now on."""

    breakpoints: tuple[Breakpoint, ...] = ()


class RestartRequested(Event, frozen=True, kw_only=True):
    """Run the failed task runs of a terminated execution again, in place."""


class ReplayRequested(Event, frozen=True, kw_only=True):
    """
    Create the execution `new_id` that runs this one again, from a task run on or from the beginning.

    With `restart` the failed task runs are what is run again (a restart with another revision).
    """

    new_id: str
    task_run_id: str | None = None
    revision: int | None = None
    restart: bool = False
    inputs: dict[str, Any] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    breakpoints: tuple[Breakpoint, ...] = ()


class TaskRunStateRequested(Event, frozen=True, kw_only=True):
    """Set a task run to a state by hand, and go on from there."""

    task_run_id: str
    state: State


class StateRequested(Event, frozen=True, kw_only=True):
    """Set the state of a terminated execution by hand."""

    state: State


class LabelsRequested(Event, frozen=True, kw_only=True):
    """Replace all labels that are not system labels."""

    labels: tuple[tuple[str, str], ...]


class ForceRunRequested(Event, frozen=True, kw_only=True):
    """Run now: without waiting for a slot, a schedule date or a resume."""


class UnqueueRequested(Event, frozen=True, kw_only=True):
    """Take the execution out of the waiting line, into this state."""

    state: State = State.RUNNING


class DeleteRequested(Event, frozen=True, kw_only=True):
    """
    Forget the execution, with its log and metrics unless they are to stay.

    One that has not ended is left alone unless `running`: then what it runs is killed and nobody waits for it. The
    iterations of its Loops go with it; `told` says how many of them have been told already.
    """

    running: bool = False
    logs: bool = True
    metrics: bool = True
    told: int = 0


class ContinueRequested(Event, frozen=True, kw_only=True):
    """An event of the execution to itself: create the next chunk of a loop's children."""

    seq: int


# Events of concurrency scopes: aggregates of their own in the same partitions; `execution_id` is the scope's id.


class SlotRequested(Event, frozen=True, kw_only=True):
    """An execution asks the scope for a slot."""

    holder: str
    limit: int
    behavior: str


class SlotsCounted(Event, frozen=True, kw_only=True):
    """A person says how many slots of the scope are taken: those that no execution holds are kept free by hand."""

    running: int
    limit: int


class QuotaLimit(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """At most `limit` executions in each window of so many seconds, or what becomes of the next one."""

    seconds: float
    limit: int
    behavior: str


class QuotaRequested(Event, frozen=True, kw_only=True):
    """A new execution of the flow (`holder`) asks whether its quotas have room for it."""

    holder: str
    quotas: tuple[QuotaLimit, ...]


class SlotReleased(Event, frozen=True, kw_only=True):
    """A holder has ended, or no longer waits."""

    holder: str


# Events of Flow triggers: aggregates of their own too; `execution_id` is the trigger's key.


class UpstreamChanged(Event, frozen=True, kw_only=True):
    """An execution that a Flow trigger may listen to has come into the state that `upstream` is in."""

    namespace: str
    flow_id: str
    trigger_id: str
    upstream: Execution


class WindowEnded(Event, frozen=True, kw_only=True):
    """A window of a Flow trigger has ended: it is to be judged whether it was missed."""

    tenant_id: str = MAIN_TENANT
    namespace: str
    flow_id: str
    trigger_id: str


class EventFailed(Event, frozen=True, kw_only=True):
    """An event could not be decided (`reason`): the execution ends FAILED."""

    reason: str
    event: str


ExecutionEvent = (
    CreateExecution
    | TaskStarted
    | TaskFinished
    | ChildRunReported
    | WorkerLost
    | JobReturned
    | JobRefused
    | ChildEnded
    | IterationPaused
    | SlotGranted
    | SlotRefused
    | QuotaAnswered
    | TimerDue
    | KillRequested
    | PauseRequested
    | ResumeRequested
    | ReviewRequested
    | BreakpointLeft
    | RestartRequested
    | ReplayRequested
    | TaskRunStateRequested
    | StateRequested
    | LabelsRequested
    | ForceRunRequested
    | UnqueueRequested
    | DeleteRequested
    | ContinueRequested
    | SlotRequested
    | SlotReleased
    | SlotsCounted
    | QuotaRequested
    | UpstreamChanged
    | WindowEnded
    | EventFailed
)

ScopeEvent = SlotRequested | SlotReleased | SlotsCounted | QuotaRequested
