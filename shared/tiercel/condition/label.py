"""The labels of an execution that a trigger makes: the flow's, then the trigger's, rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.condition.evaluate import Render
from tiercel.errors import ExpressionError
from tiercel.model.flow import Flow
from tiercel.model.system import is_system_label
from tiercel.model.task import Trigger


def trigger_labels(
    flow: Flow, trigger: Trigger, variables: Mapping[str, Any], render: Render
) -> tuple[tuple[str, str], ...]:
    """
    Return the labels that flow and trigger give to an execution.

    System labels of a flow stay with the flow. A label that cannot be rendered, or that renders to nothing, is left
    out: a label must not keep an execution from running.
    """
    labels = {key: value for key, value in flow.labels.items() if not is_system_label(key)}
    for key, value in trigger.labels.items():
        try:
            text = render(str(value), variables)
        except ExpressionError:
            continue
        if text:
            labels[key] = text
    return tuple(labels.items())
