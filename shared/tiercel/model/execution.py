"""
Executions and task runs: what the executor owns, the queue carries and the repository keeps.

Fields bear Kestra's names in JSON (reference 3.1, 3.3). An execution does not hold its task runs, and a task run does
not hold its outputs: these are records of their own, so that a change costs what changed.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from tiercel.model.state import EXECUTION_TRANSITIONS, TASK_RUN_TRANSITIONS, State, StateChange
from tiercel.model.tenant import MAIN_TENANT


class ExecutionKind(StrEnum):
    """What an execution is for; only NORMAL ones are listed by default."""

    NORMAL = "NORMAL"
    TEST = "TEST"
    PLAYGROUND = "PLAYGROUND"
    LOOP = "LOOP"


class TriggerInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """What started an execution: a trigger, or the task of a parent execution."""

    id: str
    type: str
    variables: dict[str, Any] = {}
    log_file: str | None = None


class ParentTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The task run of another execution that waits for this one."""

    execution_id: str
    seq: int
    attempt: int
    wait: bool = True
    iteration: int | None = None


class LoopItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One value of a Loop; `key` is set when the values are a map."""

    index: int
    value: str
    key: str | None = None


class LoopRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """
    Where an iteration of a Loop stands.

    `parents` are the iterations around, outermost first; `executions` those that they run in, from the one that a
    person started to the one whose task run is the loop. `stores` says that outputs of the iteration go to a file.
    """

    task_id: str
    task_run_id: str
    index: int
    value: str
    key: str | None = None
    parents: tuple[LoopItem, ...] = ()
    executions: tuple[str, ...] = ()
    stores: bool = False


class TaskFixture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What a test says that a task gives: its run is not run, it ends in `state` with `outputs`.

    With `value` it stands for the run of that iteration only.
    """

    id: str
    value: str | None = None
    state: State = State.SUCCESS
    outputs: dict[str, Any] | None = None
    description: str | None = None


class Breakpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task (of one iteration, when `value` is given) before which the execution is to stop."""

    id: str
    value: str | None = None


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """
    One run of a flow, without its task runs.

    `generation` grows with every restart, `version` with every change that is saved; `inputs` hold SECRET values
    encrypted; `variables` are put at the root of the expression context; `unset_variables` are paths of variables of
    the flow that are no longer seen; `error` is the sentence that says why it failed, where no task run says so.
    """

    id: str
    tenant_id: str = MAIN_TENANT
    namespace: str
    flow_id: str
    flow_revision: int
    state: State
    history: tuple[StateChange, ...]
    labels: tuple[tuple[str, str], ...] = ()
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
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
    generation: int = 0
    version: int = 0
    error: str | None = None
    deleted: bool = False

    def can_become(self, state: State) -> bool:
        """Tell whether the table knows the edge from this state to `state`."""
        return state in EXECUTION_TRANSITIONS.get(self.state, frozenset())

    def fixture_of(self, task_id: str, value: str | None) -> TaskFixture | None:
        """Return what stands for a task's run in a test, None when it is to be run."""
        return next((each for each in self.fixtures if each.id == task_id and each.value in (None, value)), None)

    def stops_before(self, task_id: str, value: str | None) -> bool:
        """Tell whether there is a breakpoint at a task's run."""
        return any(each.id == task_id and each.value in (None, value) for each in self.breakpoints)


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One try of a task run; its history begins CREATED."""

    state: State
    history: tuple[StateChange, ...]
    worker_id: str | None = None
    log_file: str | None = None


class TaskRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """
    One task of one execution that happened, without its outputs.

    `seq` is its place in the execution's list of task runs, its key there, and the order of creation. `parent` is the
    `seq` of the flowable that it runs in. `value` is the iteration's value as text (objects as JSON).
    """

    id: str
    seq: int
    task_id: str
    state: State
    history: tuple[StateChange, ...]
    parent: int | None = None
    value: str | None = None
    iteration: int | None = None
    attempts: tuple[Attempt, ...] = ()
    dynamic: bool = False
    has_outputs: bool = False
    error: str | None = None

    def can_become(self, state: State) -> bool:
        """Tell whether the table knows the edge from this state to `state`."""
        return state in TASK_RUN_TRANSITIONS.get(self.state, frozenset())

    @property
    def attempt(self) -> int:
        """Number of the current attempt, 0 before the first."""
        return len(self.attempts)


class OutputRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    The outputs of a task run: inline, or in internal storage when they are large (claim check).

    Exactly one of `value` and `uri` is set; `size` is in bytes of their JSON.
    """

    size: int
    value: dict[str, Any] | None = None
    uri: str | None = None
    digest: bytes | None = None


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """One line of log, of an execution, a task run or a trigger."""

    tenant_id: str = MAIN_TENANT
    namespace: str
    flow_id: str
    timestamp: datetime
    level: str
    message: str
    execution_id: str | None = None
    task_id: str | None = None
    task_run_id: str | None = None
    attempt_number: int | None = None
    trigger_id: str | None = None
    thread: str | None = None


class MetricEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """One measurement that a task published: a counter's increment or a timer's duration in seconds."""

    tenant_id: str = MAIN_TENANT
    namespace: str
    flow_id: str
    timestamp: datetime
    name: str
    type: str
    value: float
    execution_id: str
    task_id: str
    task_run_id: str
    tags: dict[str, str] = {}
