"""The trigger of other flows' executions, in both generations: `dependsOn` and `window`, and `preconditions`."""

from __future__ import annotations

from datetime import time, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tiercel.model.property import DYNAMIC, NOT_BLANK, REMOVED, Node
from tiercel.model.state import State
from tiercel.model.task import Trigger
from tiercel.plugins.registry import register


class FlowDependency(Node, frozen=True, kw_only=True):
    """One flow, or all of a namespace, or any, whose executions are waited for."""

    namespace: str | None = None
    flow_id: str | None = None
    states: tuple[State, ...] | None = None
    """Without them the trigger's own states count, or else success and warning."""
    labels: Annotated[dict[str, Any] | list[Any] | None, DYNAMIC] = None
    when: Annotated[Any, DYNAMIC] = None


class DependencyMode(StrEnum):
    """How many of the dependencies must have been met."""

    ALL = "ALL"
    ANY = "ANY"
    AT_LEAST = "AT_LEAST"


class Window(Node, frozen=True, kw_only=True):
    """In which time all dependencies must be met: one of deadline, from and to, every (with offset), lookback."""

    deadline: time | None = None
    from_: time | None = msgspec.field(default=None, name="from")
    to: time | None = None
    every: timedelta | None = None
    offset: timedelta | None = None
    lookback: timedelta | None = None
    timezone: str | None = None
    """Where days and midnight are meant; the zone of the server when it is not set."""
    fire_once: bool = False


class MissBehavior(StrEnum):
    """What a window that was missed makes: an execution that has FAILED."""

    FAIL = "FAIL"


class OnMiss(Node, frozen=True, kw_only=True):
    """What happens when the deadline passes and not all were met."""

    behavior: MissBehavior = MissBehavior.FAIL
    labels: Annotated[dict[str, Any] | list[Any] | None, DYNAMIC] = None


class TimeWindowType(StrEnum):
    DAILY_TIME_DEADLINE = "DAILY_TIME_DEADLINE"
    DAILY_TIME_WINDOW = "DAILY_TIME_WINDOW"
    DURATION_WINDOW = "DURATION_WINDOW"
    SLIDING_WINDOW = "SLIDING_WINDOW"


class TimeWindow(Node, frozen=True, kw_only=True):
    """The window of preconditions and of multiple conditions."""

    type: TimeWindowType = TimeWindowType.DURATION_WINDOW
    deadline: time | None = None
    start_time: time | None = None
    end_time: time | None = None
    window: timedelta | None = None
    window_advance: timedelta | None = None


class FilterField(StrEnum):
    FLOW_ID = "FLOW_ID"
    NAMESPACE = "NAMESPACE"
    STATE = "STATE"
    EXPRESSION = "EXPRESSION"


class FilterType(StrEnum):
    EQUAL_TO = "EQUAL_TO"
    NOT_EQUAL_TO = "NOT_EQUAL_TO"
    IN = "IN"
    NOT_IN = "NOT_IN"
    IS_TRUE = "IS_TRUE"
    IS_FALSE = "IS_FALSE"
    IS_NULL = "IS_NULL"
    IS_NOT_NULL = "IS_NOT_NULL"
    STARTS_WITH = "STARTS_WITH"
    ENDS_WITH = "ENDS_WITH"
    REGEX = "REGEX"
    CONTAINS = "CONTAINS"


class PreconditionFilter(Node, frozen=True, kw_only=True):
    """One comparison of an upstream execution's field."""

    field: FilterField
    type: FilterType
    value: Annotated[str | None, DYNAMIC] = None
    values: tuple[str, ...] | None = None


class Operand(StrEnum):
    AND = "AND"
    OR = "OR"


class ExecutionFilter(Node, frozen=True, kw_only=True):
    """Comparisons joined by `operand`."""

    id: Annotated[str, NOT_BLANK]
    operand: Operand = Operand.AND
    filters: tuple[PreconditionFilter, ...] = ()


class UpstreamFlow(Node, frozen=True, kw_only=True):
    """One flow whose executions in these states, with these labels, are waited for."""

    namespace: str
    flow_id: str | None = None
    states: tuple[State, ...] = ()
    labels: Annotated[dict[str, Any] | list[Any] | None, DYNAMIC] = None


class Preconditions(Node, frozen=True, kw_only=True):
    """What upstream executions must have happened within a window."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=r"[a-zA-Z0-9][a-zA-Z0-9_-]*")]
    time_window: TimeWindow | None = None
    reset_on_success: bool = True
    flows: tuple[UpstreamFlow, ...] = ()
    where: tuple[ExecutionFilter, ...] = ()


@register("io.kestra.plugin.core.trigger.Flow", "io.kestra.core.models.triggers.types.Flow")
class FlowTrigger(Trigger, frozen=True, kw_only=True):
    """
    Start an execution when executions of other flows reach a state.

    Example:
        id: after_ingest
        type: io.kestra.plugin.core.trigger.Flow
        dependsOn:
          - namespace: company.team
            flowId: ingest
    """

    states: tuple[State, ...] | None = None
    """States of the other executions that count."""
    depends_on: tuple[FlowDependency, ...] = ()
    """The flows whose executions are waited for."""
    mode: DependencyMode = DependencyMode.ALL
    """How many of them must have been met."""
    min_satisfied: Annotated[int, Meta(ge=1)] | None = None
    """How many, for `AT_LEAST`."""
    window: Window | None = None
    """In which time all must be met."""
    on_miss: OnMiss | None = None
    """What happens when they are not."""
    preconditions: Annotated[Preconditions | None, REMOVED] = None
    """The older way to say the same."""
