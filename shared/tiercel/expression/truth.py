"""
What counts as true: Kestra has several answers, and each place keeps its own.

    condition of the template language ({% if %}, ?:, and)     operators.condition_holds
    text of a task's, a trigger's or an SLA's condition        means_true
    text of the conditions Expression and ExecutionOutputs     is_not_false: `0` is true
    value of a flow's check, of any type                       value_means_true: `FALSE` is false
    dependsOn of an input, executions.Count, tests, settings   says_true: nothing but `true` is
"""

from __future__ import annotations

from typing import Any, Final

_FALSE: Final = frozenset({"", "false", "0", "-0"})
"""What Kestra takes for false; every other text is true."""


def means_true(text: str | None) -> bool:
    """Tell whether a rendered text means true; null does not."""
    return text is not None and text.strip() not in _FALSE


def value_means_true(value: Any) -> bool:
    """Tell whether a rendered value means true: all but null, false, and the texts of falsehood in any case."""
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    return str(value).strip().lower() not in _FALSE


def is_not_false(text: str | None) -> bool:
    """Tell whether a rendered text is neither empty nor `false`; null is both."""
    return text is not None and text.strip() not in ("", "false")


def says_true(value: Any) -> bool:
    """Tell whether a value is `true`, written in any case."""
    return str(value).strip().lower() == "true"
