"""
Flows: what an author writes, as values. Both dialects end in these (reference 1 and 2).

Tasks and triggers are instances of plugin classes (`tiercel.plugins`) that extend `Task` and `Trigger` here. A flow
keeps the author's text in `source`, and in `document` the same as plain data with plugin defaults merged in.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from tiercel.model.state import State


class Dynamic:
    """Annotation of a property that may hold an expression instead of a value of its type."""


DYNAMIC = Dynamic()


class Node(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of everything that is read from a flow's text: JSON names in camel case, unknown fields are a problem."""


class RetryBehavior(StrEnum):
    RETRY_FAILED_TASK = "RETRY_FAILED_TASK"
    CREATE_NEW_EXECUTION = "CREATE_NEW_EXECUTION"


class Retry(Node, frozen=True, kw_only=True):
    """
    How a failed task (or execution) is tried again: `constant`, `exponential` or `random`.

    `max_attempts` counts the first run. Durations are timedeltas.
    """

    type: str
    interval: timedelta | None = None
    max_interval: timedelta | None = None
    min_interval: timedelta | None = None
    delay_factor: float = 2.0
    max_attempts: int | None = None
    max_duration: timedelta | None = None
    warning_on_retry: bool = False
    behavior: RetryBehavior = RetryBehavior.RETRY_FAILED_TASK


class Task(Node, frozen=True, kw_only=True):
    """Fields that every task has (reference 2)."""

    id: str
    type: str
    version: str | None = None
    description: str | None = None
    retry: Retry | None = None
    timeout: Any = None
    disabled: bool = False
    worker_group: dict[str, Any] | None = None
    worker_selector: dict[str, Any] | None = None
    policy_refs: Any = None
    log_level: str | None = None
    allow_failure: bool = False
    allow_warning: bool = False
    log_to_file: bool = False
    run_if: Any = None
    task_cache: dict[str, Any] | None = None
    assets: dict[str, Any] | None = None

    def children(self) -> Iterator[Task]:
        """Yield the tasks directly inside this one, in the order of the text, error and finally branches included."""
        return iter(())


class Trigger(Node, frozen=True, kw_only=True):
    """Fields that every trigger has (reference 5.1, 5.7)."""

    id: str
    type: str
    version: str | None = None
    description: str | None = None
    conditions: tuple[Any, ...] = ()
    when: Any = None
    disabled: bool = False
    worker_group: dict[str, Any] | None = None
    worker_selector: dict[str, Any] | None = None
    policy_refs: Any = None
    log_level: str | None = None
    labels: dict[str, Any] = {}
    stop_after: tuple[State, ...] = ()
    log_to_file: bool = False
    allow_concurrent: bool = False
    fail_on_trigger_error: bool = False
    inputs: dict[str, Any] | None = None
    assets: dict[str, Any] | None = None


class InputType(StrEnum):
    STRING = "STRING"
    SELECT = "SELECT"
    ENUM = "ENUM"
    MULTISELECT = "MULTISELECT"
    INT = "INT"
    FLOAT = "FLOAT"
    BOOLEAN = "BOOLEAN"
    BOOL = "BOOL"
    DATETIME = "DATETIME"
    DATE = "DATE"
    TIME = "TIME"
    DURATION = "DURATION"
    FILE = "FILE"
    JSON = "JSON"
    YAML = "YAML"
    URI = "URI"
    SECRET = "SECRET"
    ARRAY = "ARRAY"
    EMAIL = "EMAIL"
    FORM = "FORM"
    REUSABLE_INPUTS = "REUSABLE_INPUTS"


class DependsOn(Node, frozen=True, kw_only=True):
    """When an input exists: all `inputs` are enabled, and `condition` renders to true."""

    inputs: tuple[str, ...] = ()
    condition: str | None = None


class Input(Node, frozen=True, kw_only=True):
    """One input of a flow. Fields that its type does not have are a problem found by validation (reference 1.3)."""

    id: str
    type: InputType
    description: str | None = None
    display_name: str | None = None
    required: bool = True
    defaults: Any = None
    prefill: Any = None
    depends_on: DependsOn | None = None
    validator: str | None = None
    values: tuple[Any, ...] | None = None
    options: tuple[Any, ...] | None = None
    expression: str | None = None
    allow_custom_value: bool = False
    auto_select_first: bool = False
    is_radio: bool = False
    item_type: InputType | None = None
    min: int | float | timedelta | None = None
    max: int | float | timedelta | None = None
    after: datetime | date | time | None = None
    before: datetime | date | time | None = None
    extension: str | None = None
    accept: Any = None
    allowed_file_extensions: tuple[str, ...] | None = None
    inputs: tuple[Input, ...] = ()


class FlowOutput(Node, frozen=True, kw_only=True):
    """One output of a flow: `value` is rendered at the end, and typed when `type` is given (reference 1.5)."""

    id: str
    value: Any
    type: InputType | None = None
    description: str | None = None
    display_name: str | None = None
    required: bool | None = None


class ConcurrencyBehavior(StrEnum):
    QUEUE = "QUEUE"
    CANCEL = "CANCEL"
    FAIL = "FAIL"


class Concurrency(Node, frozen=True, kw_only=True):
    """At most `limit` executions of the flow at a time."""

    limit: int
    behavior: ConcurrencyBehavior = ConcurrencyBehavior.QUEUE


class PluginDefault(Node, frozen=True, kw_only=True):
    """Values for all tasks and triggers whose type is, or begins with, `type`."""

    type: str
    forced: bool = False
    values: dict[str, Any] = {}


class Sla(Node, frozen=True, kw_only=True):
    """An agreement on an execution: MAX_DURATION or EXECUTION_ASSERTION (reference 1.7)."""

    id: str
    type: str
    behavior: str
    labels: dict[str, str] = {}
    duration: timedelta | None = None
    assertion: str | None = msgspec.field(default=None, name="assert")


class Check(Node, frozen=True, kw_only=True):
    """A question asked of the inputs before an execution is created (reference 1.8)."""

    when: Any
    message: str
    style: str = "INFO"
    behavior: str = "BLOCK_EXECUTION"


class Quota(Node, frozen=True, kw_only=True):
    """At most `limit` executions per `duration`."""

    duration: timedelta
    limit: int
    behavior: str = "FAIL"


class Listener(Node, frozen=True, kw_only=True):
    """Tasks of the old dialect that run after the end when all conditions hold."""

    description: str | None = None
    conditions: tuple[Any, ...] = ()
    tasks: tuple[Task, ...]


class Flow(Node, frozen=True, kw_only=True):
    """One revision of a flow; immutable."""

    id: str
    namespace: str
    tenant_id: str = "main"
    revision: int | None = None
    description: str | None = None
    labels: dict[str, str] = {}
    inputs: tuple[Input, ...] = ()
    outputs: tuple[FlowOutput, ...] = ()
    variables: dict[str, Any] = {}
    tasks: tuple[Task, ...]
    errors: tuple[Task, ...] = ()
    finally_: tuple[Task, ...] = msgspec.field(default=(), name="finally")
    after_execution: tuple[Task, ...] = ()
    listeners: tuple[Listener, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    plugin_defaults: tuple[PluginDefault, ...] = ()
    concurrency: Concurrency | None = None
    retry: Retry | None = None
    sla: tuple[Sla, ...] = ()
    checks: tuple[Check, ...] = ()
    quotas: tuple[Quota, ...] = ()
    policy_refs: Any = None
    worker_group: dict[str, Any] | None = None
    worker_selector: dict[str, Any] | None = None
    disabled: bool = False
    draft: bool = False
    deleted: bool = False
    source: str = ""
    document: dict[str, Any] = {}

    @property
    def uid(self) -> str:
        """The flow's name without revision: tenant, namespace and id joined by '/'."""
        return f"{self.tenant_id}/{self.namespace}/{self.id}"


def walk(tasks: tuple[Task, ...]) -> Iterator[Task]:
    """Yield every task of the trees, parents before their children."""
    for task in tasks:
        yield task
        yield from walk(tuple(task.children()))
