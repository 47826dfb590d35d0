"""
Filters of searches, as the API names them: a field, an operation and a value (reference 11.1).

Adapters translate them; `matches` is what an operation means, for adapters that hold values in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec

from tiercel.errors import Refused


class Field(StrEnum):
    """What a filter looks at."""

    QUERY = "q"
    SCOPE = "scope"
    NAMESPACE = "namespace"
    FLOW_ID = "flowId"
    START_DATE = "startDate"
    END_DATE = "endDate"
    STATE = "state"
    LABELS = "labels"
    TRIGGER_EXECUTION_ID = "triggerExecutionId"
    CHILD_FILTER = "childFilter"
    KIND = "kind"
    PARENT_ID = "parentId"
    EXECUTION_ID = "executionId"
    TASK_ID = "taskId"
    TASK_RUN_ID = "taskRunId"
    ATTEMPT_NUMBER = "attemptNumber"
    TRIGGER_ID = "triggerId"
    MIN_LEVEL = "level"
    NAME = "name"


class Op(StrEnum):
    """How a field is compared with the value."""

    EQUALS = "EQUALS"
    NOT_EQUALS = "NOT_EQUALS"
    GREATER_THAN = "GREATER_THAN"
    GREATER_THAN_OR_EQUAL_TO = "GREATER_THAN_OR_EQUAL_TO"
    LESS_THAN = "LESS_THAN"
    LESS_THAN_OR_EQUAL_TO = "LESS_THAN_OR_EQUAL_TO"
    IN = "IN"
    NOT_IN = "NOT_IN"
    STARTS_WITH = "STARTS_WITH"
    ENDS_WITH = "ENDS_WITH"
    CONTAINS = "CONTAINS"
    REGEX = "REGEX"
    PREFIX = "PREFIX"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """
    One condition. `value` is a text, an instant, a tuple of texts (IN, NOT_IN), or for labels a (key, value) pair.

    PREFIX on a namespace means the namespace itself and everything below it. A value of None means what has none
    (EQUALS) or any (NOT_EQUALS). The field of the least level, with IN, means these levels.
    """

    field: Field
    op: Op = Op.EQUALS
    value: Any


LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
"""Levels of log lines, the least first."""

_COMPARISONS: Final[dict[Op, Callable[[Any, Any], bool]]] = {
    Op.EQUALS: lambda have, want: have == want,
    Op.NOT_EQUALS: lambda have, want: have != want,
    Op.GREATER_THAN: lambda have, want: have is not None and have > want,
    Op.GREATER_THAN_OR_EQUAL_TO: lambda have, want: have is not None and have >= want,
    Op.LESS_THAN: lambda have, want: have is not None and have < want,
    Op.LESS_THAN_OR_EQUAL_TO: lambda have, want: have is not None and have <= want,
    Op.IN: lambda have, want: have in want,
    Op.NOT_IN: lambda have, want: have not in want,
    Op.STARTS_WITH: lambda have, want: have is not None and have.startswith(want),
    Op.ENDS_WITH: lambda have, want: have is not None and have.endswith(want),
    Op.CONTAINS: lambda have, want: have is not None and want.lower() in have.lower(),
    Op.REGEX: lambda have, want: have is not None and re.search(want, have) is not None,
    Op.PREFIX: lambda have, want: have is not None and (have == want or have.startswith(want + ".")),
}


def matches(have: Any, op: Op, want: Any) -> bool:
    """Tell whether a value satisfies an operation."""
    return _COMPARISONS[op](have, want)


def level_rank(level: str) -> int:
    """Return the place of a log level; raise Refused for an unknown one."""
    try:
        return LEVELS.index(level.upper())
    except ValueError:
        raise Refused(f"'{level}' is not a log level; use one of {', '.join(LEVELS)}.") from None
