"""Conditions of triggers: what each of them asks, of the flow that listens and of the execution that has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tiercel.condition.evaluate import Subject, Upstream, holds, when_holds
from tiercel.model.state import State
from tiercel.plugins.core.condition.execution import ExecutionOutputs, Expression

UP = Upstream(namespace="a", flow_id="up", state=State.SUCCESS, labels={}, outputs={"x": "1"}, attempts=())
SUBJECT = Subject(namespace="a", flow_id="listener", execution=UP, variables={})
KIND = "io.kestra.plugin.core.condition"


def as_written(text: str, variables: Mapping[str, Any]) -> str:
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), (" ", False), ("false", False), (" false ", False), ("0", True), ("-0", True), ("False", True)],
)
def test_expressions_of_conditions_are_false_when_blank_or_false_only(text: str, expected: bool) -> None:
    """Unlike those of a `when`, of tasks and of inputs, for which 0 is false."""
    asked = Expression(type=f"{KIND}.Expression", expression=text)
    of_outputs = ExecutionOutputs(type=f"{KIND}.ExecutionOutputs", expression=text)

    assert expected is holds(asked, SUBJECT, as_written)
    assert expected is holds(of_outputs, SUBJECT, as_written)


@pytest.mark.parametrize(("text", "expected"), [("0", False), ("-0", False), ("", False), ("no", True)])
def test_a_when_is_false_as_tasks_are(text: str, expected: bool) -> None:
    """The newer property has the truth of everything else."""
    assert expected is when_holds(text, {}, as_written)
