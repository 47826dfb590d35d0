"""Outputs of the flow, rendered and typed when an execution ends (reference 1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.errors import FlowAuthorError
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.rendering import Rendering
from tiercel.expression import ion
from tiercel.expression.plain import plain
from tiercel.flowspec.inputvalue import as_data
from tiercel.flowspec.outputs import typed_outputs
from tiercel.storage import uris


def flow_outputs(draft: Draft, facts: Facts) -> dict[str, Any]:
    """Render and type the flow's outputs; raise a FlowAuthorError that names the first that cannot be."""
    assert facts.plan is not None
    rendering = Rendering(draft, facts)
    values: dict[str, Any] = {}
    missing: set[str] = set()
    for output in facts.plan.flow.outputs:
        try:
            values[output.id] = _rendered(rendering, output.value)
        except FlowAuthorError:
            if output.required is not False:
                raise
            missing.add(output.id)
    flow = facts.plan.flow
    known = [output for output in flow.outputs if output.id not in missing]
    outputs = typed_outputs(known, values, encrypt=facts.around.seal, dialect=flow.dialect)
    return _stored(as_data(outputs), draft, facts)


def _rendered(rendering: Rendering, value: Any) -> Any:
    found = rendering.data(value) if isinstance(value, str) else rendering.value(value)
    # Parts of the context are read as they are touched; what is kept of them is data.
    return plain(found) if isinstance(found, Mapping | list | tuple) else found


def _stored(outputs: dict[str, Any], draft: Draft, facts: Facts) -> dict[str, Any]:
    """Put the outputs of an iteration into a file of Ion, when its Loop wants that."""
    execution = draft.execution
    loop = execution.loop_run
    if loop is None or not loop.stores or not outputs:
        return outputs
    folder = uris.task(execution.namespace, execution.flow_id, execution.id, loop.task_id, loop.task_run_id)
    return {"uri": facts.ask("stored", f"{folder}/outputs.ion", ion.dumps(outputs).encode())}
