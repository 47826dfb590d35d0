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
from tiercel.model.system import READ_ONLY
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
from tiercel.model.tenant import MAIN_TENANT

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
    """How many executions may run at a time."""
    behavior: ConcurrencyBehavior = ConcurrencyBehavior.QUEUE
    """What becomes of one more: it waits, is cancelled, or fails."""


class PluginDefault(Node, frozen=True, kw_only=True):
    """Values for all tasks and triggers whose type is, or begins with, `type`."""

    type: Annotated[str, NOT_BLANK]
    """A type, an older name of one, or how the names of several begin."""
    values: dict[str, Any]
    """The properties and their values."""
    forced: bool = False
    """True when the values win over what a task says."""


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
    """What happens when it is broken."""
    labels: Annotated[dict[str, str], LABELS] = msgspec.field(default_factory=dict)
    """Labels that the execution then gets."""
    duration: timedelta | None = None
    """The longest time, for `MAX_DURATION`."""
    assertion: Annotated[str | None, DYNAMIC] = msgspec.field(default=None, name="assert")
    """What must always hold, for `EXECUTION_ASSERTION`."""


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
    """What must be true of the inputs."""
    message: Annotated[str, DYNAMIC]
    """What the caller is told when it is not."""
    style: CheckStyle = CheckStyle.INFO
    """How the message looks."""
    behavior: CheckBehavior = CheckBehavior.BLOCK_EXECUTION
    """Whether an execution is created all the same."""


class QuotaBehavior(StrEnum):
    FAIL = "FAIL"
    CANCEL = "CANCEL"


class Quota(Node, frozen=True, kw_only=True):
    """At most `limit` executions per `duration`."""

    duration: timedelta
    """The time in which executions are counted."""
    limit: Annotated[int, Meta(gt=0)]
    """The most executions in that time."""
    behavior: QuotaBehavior = QuotaBehavior.FAIL
    """What becomes of one too many."""


class Listener(Node, frozen=True, kw_only=True):
    """Tasks of the old dialect that run after the end when all conditions hold."""

    description: str | None = None
    conditions: tuple[Condition, ...] = ()
    tasks: Annotated[tuple[Task, ...], NOT_EMPTY]


class Flow(Node, frozen=True, kw_only=True):
    """
    One revision of a flow; immutable.

    Example:
        id: hello
        namespace: company.team
        inputs:
          - id: name
            type: STRING
            defaults: world
        tasks:
          - id: greet
            type: io.kestra.plugin.core.log.Log
            message: Hello {{ inputs.name }}
    """

    id: Annotated[str, NOT_BLANK, Meta(pattern=FLOW_ID, min_length=1, max_length=100)]
    """The flow's name, unique in its namespace; it never changes."""
    namespace: Annotated[str, Meta(pattern=NAMESPACE, min_length=1, max_length=150)]
    """Where the flow belongs, for example `company.team`; it never changes."""
    tenant_id: str = MAIN_TENANT
    revision: Annotated[int, Meta(ge=1)] | None = None
    """Counted by the server; what is written here is left out."""
    updated: Any = None
    """Kept by the server; what is written here is left out."""
    description: str | None = None
    """What the flow is for, in Markdown."""
    labels: Annotated[dict[str, str], Labels(READ_ONLY)] = msgspec.field(default_factory=dict)
    """Labels of the flow, which its executions get too: a map, or a list of `key` and `value`."""
    inputs: tuple[Input, ...] = ()
    """What a caller gives when an execution starts; expressions see it as `inputs`."""
    outputs: tuple[FlowOutput, ...] = ()
    """What an execution answers when it ends, rendered from the outputs of its tasks."""
    variables: dict[str, Any] = msgspec.field(default_factory=dict)
    """Values that expressions see as `vars`; they may hold expressions themselves."""
    tasks: Annotated[tuple[Task, ...], NOT_EMPTY]
    """What is done, in order."""
    errors: tuple[Task, ...] = ()
    """Tasks that run when one of `tasks` has failed for good."""
    finally_: tuple[Task, ...] = msgspec.field(default=(), name="finally")
    """Tasks that run at the end, whatever came of `tasks`, while the execution still runs."""
    after_execution: tuple[Task, ...] = ()
    """Tasks that run after the execution has ended and its state is known."""
    listeners: Annotated[tuple[Listener, ...], Deprecated(), REMOVED] = ()
    """Tasks of the older dialect that run after the end; `afterExecution` has taken their place."""
    triggers: tuple[Trigger, ...] = ()
    """What starts executions by itself: the clock, other flows, requests, anything that is asked or listened to."""
    plugin_defaults: Annotated[tuple[PluginDefault, ...], REMOVED, Aliases("taskDefaults", deprecated=True)] = ()
    """Values of properties for all tasks and triggers whose type is, or begins with, `type`."""
    concurrency: Concurrency | None = None
    """How many executions may run at a time, and what becomes of one too many."""
    retry: Retry | None = None
    """How a task that fails, or the whole execution, is tried again, unless a task says otherwise."""
    sla: tuple[Sla, ...] = ()
    """Agreements on an execution, and what happens when one is broken."""
    checks: tuple[Check, ...] = ()
    """Questions asked of the inputs before an execution is created."""
    quotas: tuple[Quota, ...] = ()
    """How many executions there may be in a time."""
    policy_refs: Any = None
    worker_group: Annotated[WorkerGroup | None, REMOVED] = None
    worker_selector: WorkerSelector | None = None
    """Which workers may run the tasks: those with these tags."""
    disabled: bool = False
    """A disabled flow cannot be started, by nobody and nothing."""
    draft: bool = False
    """A draft may be unfinished; it cannot be started."""
    deleted: bool = False
    dialect: Annotated[Dialect, INTERNAL] = Dialect.V2
    source: Annotated[str, INTERNAL] = ""
    document: Annotated[dict[str, Any], INTERNAL] = msgspec.field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The flow's name without revision: tenant, namespace and id joined by '/'."""
        return f"{self.tenant_id}/{self.namespace}/{self.id}"
