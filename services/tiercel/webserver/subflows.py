"""The function `subflow()`: an execution that is started and awaited while an expression is rendered."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from tiercel.errors import Conflict, FlowAuthorError, Refused
from tiercel.expression.host import SubflowCall, SubflowResult
from tiercel.messages.execution_event import KillRequested
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model.system import FROM
from tiercel.queue.base import Outgoing
from tiercel.webserver import creation, inputs
from tiercel.webserver.follower import Version

if TYPE_CHECKING:
    from tiercel.webserver.context import ApiContext

DEPTH_MAX: Final = 5
"""Calls inside the inputs of a call: more are taken for flows that call one another without an end."""
_depth: ContextVar[int] = ContextVar("depth of subflow() calls", default=0)


async def run(api: ApiContext, tenant_id: str, call: SubflowCall) -> SubflowResult:
    """
    Run a flow to its end.

    Raises NotFound when it does not exist, ValueError with the reason when it cannot be run or takes too long; an
    execution that takes too long is killed.
    """
    if _depth.get() >= DEPTH_MAX:
        raise ValueError(f"calls of subflow() go deeper than the greatest depth of {DEPTH_MAX}")
    try:
        flow = await creation.executable_flow(api, tenant_id, call.namespace, call.flow_id, call.revision)
        execution_id, at = creation.new_id(api)
        token = _depth.set(_depth.get() + 1)
        try:
            typed = (
                await inputs.typed_values(api, flow, execution_id, flow.inputs, call.inputs) if flow.inputs else None
            )
        finally:
            _depth.reset(token)
    except (Conflict, FlowAuthorError, Refused) as error:
        raise ValueError(str(error)) from error
    labels = {key: value for key, value in call.labels.items() if key != FROM}
    event = creation.creation_event(flow, execution_id, at, creation.Wish(labels=labels), typed or None, "subflow")
    await creation.send(api, event)
    if not await api.followers.until(execution_id, _has_ended, call.timeout_s):
        kill = KillRequested(execution_id=execution_id, at=api.clock.now())
        await api.emitter.emit(Outgoing(topic=EXECUTION_EVENT, key=execution_id, message=kill))
        raise ValueError(f"execution '{execution_id}' did not end within {call.timeout_s:g} s")
    execution = (await api.reader.view(tenant_id, execution_id)).execution
    return SubflowResult(
        id=execution_id,
        state=str(execution.state),
        outputs=execution.outputs or {},
        labels=dict(execution.labels),
    )


def _has_ended(version: Version | None) -> bool:
    return version is not None and version[1].is_terminated
