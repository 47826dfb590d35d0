"""
Flows: what an author writes, as values. Both dialects end in these (reference 1 and 2).

Tasks and triggers are instances of plugin classes (`tiercel.plugins`) that extend `Task` and `Trigger`. A flow keeps
the author's text in `source`, and in `document` the same as plain data with plugin defaults merged in.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from tiercel.model.input import DependsOn, FlowOutput, Input, InputType
from tiercel.model.property import (
    DYNAMIC,
    INTERNAL,
    LABELS,
    NOT_BLANK,
    NOT_EMPTY,
    REMOVED,
    Aliases,
    Deprecated,
    Dynamic,
    Labels,
    Node,
)
from tiercel.model.task import (
    Condition,
    LogLevel,
    Plugin,
    Retry,
    RetryBehavior,
    RetryType,
    Task,
    TaskCache,
    Trigger,
    WorkerGroup,
    WorkerSelector,
    walk,
)

__all__ = [
    "DYNAMIC",
    "Check",
    "CheckBehavior",
    "CheckStyle",
    "Concurrency",
    "ConcurrencyBehavior",
    "Condition",
    "DependsOn",
    "Dialect",
    "Dynamic",
    "Flow",
    "FlowOutput",
    "Input",
    "InputType",
    "Listener",
    "LogLevel",
    "Node",
    "Plugin",
    "PluginDefault",
    "Quota",
    "QuotaBehavior",
    "Retry",
    "RetryBehavior",
    "RetryType",
    "Sla",
    "SlaBehavior",
    "SlaType",
    "Task",
    "TaskCache",
    "Trigger",
    "WorkerGroup",
    "WorkerSelector",
    "walk",
]

FLOW_ID: Final = r"[a-zA-Z0-9][a-zA-Z0-9._-]*"
NAMESPACE: Final = r"[a-z0-9][a-z0-9._-]*"


class Dialect(StrEnum):
    """Which generation of the language a flow is written in; where they differ, the newer one is the rule."""

    V1 = "1.x"
    V2 = "2.x"


class ConcurrencyBehavior(StrEnum):
    QUEUE = "QUEUE"
    CANCEL = "CANCEL"
    FAIL = "FAIL"


class Concurrency(Node, frozen=True, kw_only=True):
    """At most `limit` executions of the flow at a time."""

    limit: Annotated[int, Meta(gt=0)]
    behavior: ConcurrencyBehavior = ConcurrencyBehavior.QUEUE


class PluginDefault(Node, frozen=True, kw_only=True):
    """Values for all tasks and triggers whose type is, or begins with, `type`."""

    type: Annotated[str, NOT_BLANK]
    values: dict[str, Any]
    forced: bool = False


class SlaType(StrEnum):
    MAX_DURATION = "MAX_DURATION"
    EXECUTION_ASSERTION = "EXECUTION_ASSERTION"


class SlaBehavior(StrEnum):
    FAIL = "FAIL"
    CANCEL = "CANCEL"
    NONE = "NONE"


class Sla(Node, frozen=True, kw_only=True):
    """An agreement on an execution: how long it lasts, or what always holds (reference 1.7)."""

    id: Annotated[str, NOT_BLANK]
    type: SlaType
    behavior: SlaBehavior
    labels: Annotated[dict[str, str], LABELS] = msgspec.field(default_factory=dict)
    duration: timedelta | None = None
    assertion: Annotated[str | None, DYNAMIC] = msgspec.field(default=None, name="assert")


class CheckStyle(StrEnum):
    ERROR = "ERROR"
    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    INFO = "INFO"


class CheckBehavior(StrEnum):
    BLOCK_EXECUTION = "BLOCK_EXECUTION"
    FAIL_EXECUTION = "FAIL_EXECUTION"
    CREATE_EXECUTION = "CREATE_EXECUTION"


class Check(Node, frozen=True, kw_only=True):
    """A question asked of the inputs before an execution is created (reference 1.8)."""

    when: Annotated[Any, DYNAMIC, Aliases("condition")]
    message: Annotated[str, DYNAMIC]
    style: CheckStyle = CheckStyle.INFO
    behavior: CheckBehavior = CheckBehavior.BLOCK_EXECUTION


class QuotaBehavior(StrEnum):
    FAIL = "FAIL"
    CANCEL = "CANCEL"


class Quota(Node, frozen=True, kw_only=True):
    """At most `limit` executions per `duration`."""

    duration: timedelta
    limit: Annotated[int, Meta(gt=0)]
    behavior: QuotaBehavior = QuotaBehavior.FAIL


class Listener(Node, frozen=True, kw_only=True):
    """Tasks of the old dialect that run after the end when all conditions hold."""

    description: str | None = None
    conditions: tuple[Condition, ...] = ()
    tasks: Annotated[tuple[Task, ...], NOT_EMPTY]


class Flow(Node, frozen=True, kw_only=True):
    """One revision of a flow; immutable."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=FLOW_ID, min_length=1, max_length=100)]
    namespace: Annotated[str, Meta(pattern=NAMESPACE, min_length=1, max_length=150)]
    tenant_id: str = "main"
    revision: Annotated[int, Meta(ge=1)] | None = None
    description: str | None = None
    labels: Annotated[dict[str, str], Labels("system.readOnly")] = msgspec.field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    outputs: tuple[FlowOutput, ...] = ()
    variables: dict[str, Any] = msgspec.field(default_factory=dict)
    tasks: Annotated[tuple[Task, ...], NOT_EMPTY]
    errors: tuple[Task, ...] = ()
    finally_: tuple[Task, ...] = msgspec.field(default=(), name="finally")
    after_execution: tuple[Task, ...] = ()
    listeners: Annotated[tuple[Listener, ...], Deprecated(), REMOVED] = ()
    triggers: tuple[Trigger, ...] = ()
    plugin_defaults: Annotated[tuple[PluginDefault, ...], REMOVED, Aliases("taskDefaults", deprecated=True)] = ()
    concurrency: Concurrency | None = None
    retry: Retry | None = None
    sla: tuple[Sla, ...] = ()
    checks: tuple[Check, ...] = ()
    quotas: tuple[Quota, ...] = ()
    policy_refs: Any = None
    worker_group: Annotated[WorkerGroup | None, REMOVED] = None
    worker_selector: WorkerSelector | None = None
    disabled: bool = False
    draft: bool = False
    deleted: bool = False
    dialect: Annotated[Dialect, INTERNAL] = Dialect.V2
    source: Annotated[str, INTERNAL] = ""
    document: Annotated[dict[str, Any], INTERNAL] = msgspec.field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The flow's name without revision: tenant, namespace and id joined by '/'."""
        return f"{self.tenant_id}/{self.namespace}/{self.id}"
