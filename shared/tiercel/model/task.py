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
    interval: timedelta | None = None
    max_interval: timedelta | None = None
    min_interval: timedelta | None = None
    delay_factor: float = 2.0
    max_attempts: Annotated[Annotated[int, Meta(ge=1)] | None, Aliases("maxAttempt", removed=True)] = None
    max_duration: timedelta | None = None
    warning_on_retry: bool = False
    behavior: RetryBehavior = RetryBehavior.RETRY_FAILED_TASK


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
    match: SelectorMatch | None = None
    fallback: SelectorFallback | None = None


class WorkerGroup(Node, frozen=True, kw_only=True):
    """The older way to choose workers, of another edition: understood, and refused by validation."""

    key: Annotated[str | None, DYNAMIC] = None
    fallback: SelectorFallback | None = None


class TaskCache(Node, frozen=True, kw_only=True):
    """Whether the outputs of a run serve the next ones with the same properties, and for how long."""

    enabled: bool
    ttl: timedelta | None = None


class Plugin(Node, frozen=True, kw_only=True):
    """Base of everything whose class is chosen by `type`."""

    REMOVED: ClassVar[bool] = False
    """True when 2.0 no longer has this type: a flow that uses it is of the 1.x dialect."""
    DEPRECATED: ClassVar[bool] = False
    """True when the type still works and its use is reported."""

    type: Annotated[str, NOT_BLANK]
    version: str | None = None


class Task(Plugin, frozen=True, kw_only=True):
    """Fields that every task has (reference 2)."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=TASK_ID, max_length=256)]
    description: str | None = None
    retry: Retry | None = None
    timeout: Annotated[str | timedelta | None, DYNAMIC] = None
    disabled: bool = False
    worker_group: Annotated[WorkerGroup | None, REMOVED] = None
    worker_selector: WorkerSelector | None = None
    policy_refs: Any = None
    log_level: Annotated[str | LogLevel | None, DYNAMIC] = None
    allow_failure: bool = False
    allow_warning: bool = False
    log_to_file: bool = False
    run_if: Annotated[Any, DYNAMIC, Aliases("when")] = None
    task_cache: TaskCache | None = None
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
    description: str | None = None
    conditions: Annotated[tuple[Condition, ...], REMOVED] = ()
    when: Annotated[Any, DYNAMIC] = None
    disabled: bool = False
    worker_group: Annotated[WorkerGroup | None, REMOVED] = None
    worker_selector: WorkerSelector | None = None
    policy_refs: Any = None
    log_level: Annotated[str | LogLevel | None, DYNAMIC, Aliases("minLogLevel", deprecated=True)] = None
    labels: Annotated[dict[str, str], LABELS] = msgspec.field(default_factory=dict)
    stop_after: tuple[State, ...] = ()
    log_to_file: bool = False
    allow_concurrent: bool = False
    fail_on_trigger_error: bool = False
    inputs: Annotated[dict[str, Any] | None, DYNAMIC] = None
    assets: dict[str, Any] | None = None


def walk(tasks: tuple[Task, ...]) -> Iterator[Task]:
    """Yield every task of the trees, parents before their children."""
    for task in tasks:
        yield task
        yield from walk(tuple(task.children()))
