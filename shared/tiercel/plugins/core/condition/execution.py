"""Conditions on an execution, its flow and its outputs; and their combinations."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from tiercel.model.property import DYNAMIC, NOT_BLANK, NOT_EMPTY
from tiercel.model.state import State
from tiercel.model.task import Condition
from tiercel.plugins.core.condition.date import PREFIX, names
from tiercel.plugins.core.trigger.flow import TimeWindow
from tiercel.plugins.registry import REGISTRY


@REGISTRY.register(*names("Not"))
class Not(Condition, frozen=True, kw_only=True):
    """None of the conditions is true."""

    conditions: Annotated[tuple[Condition, ...], NOT_EMPTY]


@REGISTRY.register(*names("Or"))
class Or(Condition, frozen=True, kw_only=True):
    """At least one of the conditions is true."""

    conditions: Annotated[tuple[Condition, ...], NOT_EMPTY]


@REGISTRY.register(*names("Expression"), f"{PREFIX}Variable", *names("Variable")[1:])
class Expression(Condition, frozen=True, kw_only=True):
    """The expression renders to something that is neither blank nor false."""

    expression: Annotated[str, DYNAMIC]


@REGISTRY.register(*names("ExecutionOutputs"))
class ExecutionOutputs(Condition, frozen=True, kw_only=True):
    """The expression over `trigger.outputs` is true; without outputs it is false."""

    expression: Annotated[str, DYNAMIC]


@REGISTRY.register(*names("ExecutionFlow"))
class ExecutionFlow(Condition, frozen=True, kw_only=True):
    """The execution is of this flow."""

    namespace: str
    flow_id: str


class Comparison(StrEnum):
    EQUALS = "EQUALS"
    PREFIX = "PREFIX"
    SUFFIX = "SUFFIX"


@REGISTRY.register(*names("ExecutionNamespace"))
class ExecutionNamespace(Condition, frozen=True, kw_only=True):
    """The execution's namespace is this one, or begins or ends with it."""

    namespace: Annotated[str, DYNAMIC]
    comparison: Annotated[str | Comparison | None, DYNAMIC] = None
    prefix: Annotated[bool | str, DYNAMIC] = False


@REGISTRY.register(*names("ExecutionLabels"))
class ExecutionLabels(Condition, frozen=True, kw_only=True):
    """The execution has all these labels."""

    labels: Annotated[dict[str, Any] | list[Any], DYNAMIC]


@REGISTRY.register(*names("ExecutionStatus"))
class ExecutionStatus(Condition, frozen=True, kw_only=True):
    """The execution's state is one of these, and none of those."""

    in_: Annotated[list[State] | State | None, DYNAMIC] = msgspec.field(default=None, name="in")
    not_in: Annotated[list[State] | State | None, DYNAMIC] = None


@REGISTRY.register(*names("HasRetryAttempt"))
class HasRetryAttempt(Condition, frozen=True, kw_only=True):
    """A task run of the execution was tried more than once and ended in one of these states."""

    in_: Annotated[list[State] | State | None, DYNAMIC] = msgspec.field(default=None, name="in")
    not_in: Annotated[list[State] | State | None, DYNAMIC] = None


@REGISTRY.register(*names("Flow"))
class FlowCondition(Condition, frozen=True, kw_only=True):
    """The flow that listens is this one."""

    DEPRECATED: ClassVar[bool] = True

    namespace: str
    flow_id: str


@REGISTRY.register(*names("FlowNamespace"))
class FlowNamespaceCondition(Condition, frozen=True, kw_only=True):
    """The flow that listens is in this namespace, or below it with `prefix`."""

    DEPRECATED: ClassVar[bool] = True

    namespace: str
    prefix: bool = False


@REGISTRY.register(f"{PREFIX}MultipleCondition", *names("Multiple")[2:])
class MultipleCondition(Condition, frozen=True, kw_only=True):
    """All of the named conditions were true at some time within the window."""

    DEPRECATED: ClassVar[bool] = True

    id: Annotated[str, NOT_BLANK]
    time_window: TimeWindow | None = None
    window: timedelta | None = None
    window_advance: timedelta | None = None
    reset_on_success: bool = True
    conditions: dict[str, Condition] = msgspec.field(default_factory=dict)
