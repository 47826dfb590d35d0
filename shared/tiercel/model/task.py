"""
The bases of task, trigger and condition types, with the fields that all of them have (reference 2, 5.1, 5.7).

Task types extend these through `tiercel.plugins.base`; what an author writes under `type` chooses the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from tiercel.model.property import DYNAMIC, LABELS, NOT_BLANK, REMOVED, Aliases, Node
from tiercel.model.state import State

TASK_ID: Final = r"[a-zA-Z0-9][a-zA-Z0-9_-]*"
RFC1123_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


class RetryBehavior(StrEnum):
    RETRY_FAILED_TASK = "RETRY_FAILED_TASK"
    CREATE_NEW_EXECUTION = "CREATE_NEW_EXECUTION"
    RETRY_FLOWABLE = "RETRY_FLOWABLE"


class RetryType(StrEnum):
    CONSTANT = "constant"
    EXPONENTIAL = "exponential"
    RANDOM = "random"


class Retry(Node, frozen=True, kw_only=True):
    """
    How a failed task (or execution) is tried again: `constant`, `exponential` or `random`.

    `max_attempts` counts the first run.
    """

    type: RetryType
    """How the time between two attempts grows."""
    interval: timedelta | None = None
    """The time between two attempts; the first one of `exponential`."""
    max_interval: timedelta | None = None
    """The longest time between two attempts."""
    min_interval: timedelta | None = None
    """The shortest time between two attempts, for `random`."""
    delay_factor: float = 2.0
    """By how much the time grows, for `exponential`."""
    max_attempts: Annotated[Annotated[int, Meta(ge=1)] | None, Aliases("maxAttempt", removed=True)] = None
    """How many attempts there are at most; the first run counts."""
    max_duration: timedelta | None = None
    """How long after the first attempt began another one may begin."""
    warning_on_retry: bool = False
    """True when a success after a failure is a warning."""
    behavior: RetryBehavior = RetryBehavior.RETRY_FAILED_TASK
    """Whether the task is tried again, or everything in a new execution; of a flowable, all that is inside it."""


class LogLevel(StrEnum):
    TRACE = "TRACE"
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class SelectorMatch(StrEnum):
    ALL = "ALL"
    ANY = "ANY"


class SelectorFallback(StrEnum):
    FAIL = "FAIL"
    WAIT = "WAIT"
    CANCEL = "CANCEL"
    IGNORE = "IGNORE"


class WorkerSelector(Node, frozen=True, kw_only=True):
    """Which workers may run it: those that have all (or any) of these tags."""

    tags: Annotated[tuple[Annotated[str, Meta(pattern=RFC1123_LABEL, max_length=63)], ...], Meta(max_length=20)] = ()
    """Tags of workers."""
    match: SelectorMatch | None = None
    """Whether a worker must have all of the tags, or any."""
    fallback: SelectorFallback | None = None
    """What happens when no such worker is there."""


class WorkerGroup(Node, frozen=True, kw_only=True):
    """The older way to choose workers, by one tag (of Kestra's Enterprise Edition until 2.0)."""

    key: Annotated[str | None, DYNAMIC] = None
    """The tag that a worker must have."""
    fallback: SelectorFallback | None = None
    """What is done when no worker has it: the task waits unless this says otherwise."""


class TaskCache(Node, frozen=True, kw_only=True):
    """Whether the outputs of a run serve the next ones with the same properties, and for how long."""

    enabled: bool
    """Whether outputs are kept."""
    ttl: timedelta | None = None
    """How long they serve; without it for ever."""


class Objection(msgspec.Struct, frozen=True):
    """What is said against a constant before it is used: where it stands in the task, and the sentence."""

    path: tuple[str | int, ...]
    message: str
    refuses: bool = True
    """False when the flow may be saved all the same, with a warning."""

    def below(self, *path: str | int) -> Objection:
        """Return the objection as that of a part which stands at `path`."""
        return msgspec.structs.replace(self, path=(*path, *self.path))


class Plugin(Node, frozen=True, kw_only=True):
    """Base of everything whose class is chosen by `type`."""

    REMOVED: ClassVar[bool] = False
    """True when 2.0 no longer has this type: a flow that uses it is of the 1.x dialect."""
    DEPRECATED: ClassVar[bool] = False
    """True when the type still works and its use is reported."""

    type: Annotated[str, NOT_BLANK]
    """What it is: the name of a type."""
    version: str | None = None
    """Read and of no consequence here: there is one version of each type."""

    def objections(self) -> Iterator[Objection]:
        """
        Yield what is wrong with constants that no single property tells, or that can only fail when they are used.

        It is asked when a flow is saved. What Kestra would run, and what a flow may mean to fail with, is warned of.
        """
        return iter(())


class Task(Plugin, frozen=True, kw_only=True):
    """Fields that every task has (reference 2)."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=TASK_ID, max_length=256)]
    """The task's name, unique in the flow; expressions find its outputs under it."""
    description: str | None = None
    """What the task is for, in Markdown."""
    retry: Retry | None = None
    """How it is tried again when it fails."""
    timeout: Annotated[str | timedelta | None, DYNAMIC] = None
    """How long one attempt may take."""
    disabled: bool = False
    """A disabled task is left out."""
    worker_group: Annotated[WorkerGroup | None, REMOVED] = None
    worker_selector: WorkerSelector | None = None
    """Which workers may run it: those with these tags."""
    policy_refs: Any = None
    log_level: Annotated[str | LogLevel | None, DYNAMIC] = None
    """Lines below this level are not kept."""
    allow_failure: bool = False
    """True when the flow goes on after a failure, with a warning."""
    allow_warning: bool = False
    """True when a warning counts as success."""
    log_to_file: bool = False
    """True when the log goes into a file of internal storage."""
    run_if: Annotated[Any, DYNAMIC, Aliases("when")] = None
    """The task is skipped when this renders to something untrue."""
    task_cache: TaskCache | None = None
    """Whether its outputs serve later runs with the same properties."""
    assets: dict[str, Any] | None = None

    def children(self) -> Iterator[Task]:
        """Yield the tasks directly inside this one, in the order of the text, error and finally branches included."""
        return iter(())


class Condition(Plugin, frozen=True, kw_only=True):
    """A question asked before a trigger fires: the older generation, of the 1.x dialect."""

    REMOVED: ClassVar[bool] = True

    description: str | None = None


class Trigger(Plugin, frozen=True, kw_only=True):
    """Fields that every trigger has (reference 5.1, 5.7)."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=TASK_ID, max_length=256)]
    """The trigger's name, unique among the flow's triggers."""
    description: str | None = None
    """What it waits for, in Markdown."""
    conditions: Annotated[tuple[Condition, ...], REMOVED] = ()
    """What must hold before it fires; `when` has taken their place."""
    when: Annotated[Any, DYNAMIC] = None
    """It fires only when this renders to something true."""
    disabled: bool = False
    """A disabled trigger never fires."""
    worker_group: Annotated[WorkerGroup | None, REMOVED] = None
    worker_selector: WorkerSelector | None = None
    """Which workers may evaluate it."""
    policy_refs: Any = None
    log_level: Annotated[str | LogLevel | None, DYNAMIC, Aliases("minLogLevel", deprecated=True)] = None
    """Lines below this level are not kept."""
    labels: Annotated[dict[str, str], LABELS] = msgspec.field(default_factory=dict)
    """Labels of the executions that it starts."""
    stop_after: tuple[State, ...] = ()
    """States of an execution after which the trigger disables itself."""
    log_to_file: bool = False
    """True when the log goes into a file of internal storage."""
    allow_concurrent: bool = False
    """True when it may fire while an execution of its own still runs."""
    fail_on_trigger_error: bool = False
    """True when an evaluation that fails makes a FAILED execution."""
    inputs: Annotated[dict[str, Any] | None, DYNAMIC] = None
    """The inputs of the executions that it starts."""
    assets: dict[str, Any] | None = None


def walk(tasks: tuple[Task, ...]) -> Iterator[Task]:
    """Yield every task of the trees, parents before their children."""
    for task in tasks:
        yield task
        yield from walk(tuple(task.children()))
