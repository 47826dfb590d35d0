"""Inputs: what expressions see of them, and those of executions that the executor itself starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiercel.executor.core.facts import Facts
from tiercel.executor.core.host import FactsHost
from tiercel.expression.rendering import Renderer
from tiercel.flowspec import inputs as flow_inputs
from tiercel.flowspec.inputvalue import as_data, data_of
from tiercel.model.flow import Flow


def inputs_of(flow: Flow, given: Mapping[str, Any] | None, facts: Facts) -> dict[str, Any]:
    """Return the variable `inputs`: what the execution was given, and defaults of what it was not."""
    values = dict(given or {})
    if any(each.defaults is not None and each.id.partition(".")[0] not in values for each in flow.inputs):
        renderer = Renderer(facts.engine, FactsHost(facts, facts.at, flow.uid))
        for each in flow_inputs.resolve_inputs(flow, values, renderer=renderer.render_data):
            if each.enabled and each.is_default and not each.problems and each.input.id not in values:
                _put(values, each.input.id, data_of(each.value))
    return values


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *outer, last = name.split(".")
    for part in outer:
        below = values.setdefault(part, {})
        if not isinstance(below, dict):
            return
        values = below
    values.setdefault(last, value)


def typed_inputs(
    flow: Flow,
    values: Mapping[str, Any],
    facts: Facts,
    at: datetime,
    execution_id: str,
) -> dict[str, Any] | None:
    """Return a flow's inputs, typed; raise InvalidInput with all problems."""
    renderer = Renderer(facts.around.engines[str(flow.dialect)], FactsHost(facts, at, execution_id))
    typed = flow_inputs.typed_inputs(
        flow,
        values,
        renderer=renderer.render_data,
        encrypt=facts.around.seal,
        execution={"id": execution_id, "startDate": at},
    )
    return as_data(typed) or None
