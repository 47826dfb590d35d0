"""The execution that a command describes: what the executor saves first, and what the API answers meanwhile."""

from __future__ import annotations

from tiercel.messages.execution_event import CreateExecution
from tiercel.model.execution import Execution
from tiercel.model.state import State, StateChange


def created(event: CreateExecution) -> Execution:
    """Return the execution that the event describes, before anybody has worked on it."""
    return Execution(
        id=event.execution_id,
        tenant_id=event.tenant_id,
        namespace=event.namespace,
        flow_id=event.flow_id,
        flow_revision=event.flow_revision,
        state=State.CREATED,
        history=(StateChange(State.CREATED, event.at),),
        labels=event.labels,
        inputs=event.inputs,
        variables=event.variables,
        unset_variables=event.unset_variables,
        trigger=event.trigger,
        parent=event.parent,
        parent_id=event.parent_id,
        original_id=event.original_id or event.execution_id,
        attempt_number=event.attempt_number,
        original_created=event.original_created or event.at,
        schedule_date=event.schedule_date,
        kind=event.kind,
        loop_run=event.loop_run,
        fixtures=event.fixtures,
        breakpoints=event.breakpoints,
    )
