"""Executions that follow another one: the new execution of a retry that begins from scratch."""

from __future__ import annotations

from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.messages.execution_event import CreateExecution
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model import ids
from tiercel.queue.base import Outgoing


def retry_execution(draft: Draft, facts: Facts) -> None:
    """Create the execution that tries a RETRIED one again."""
    old = draft.execution
    new_id = ids.derived_id(draft.at, old.id, "retry", old.attempt_number)
    message = CreateExecution(
        execution_id=new_id,
        at=draft.at,
        tenant_id=old.tenant_id,
        namespace=old.namespace,
        flow_id=old.flow_id,
        flow_revision=old.flow_revision,
        inputs=old.inputs,
        labels=old.labels,
        variables=old.variables,
        trigger=old.trigger,
        parent=old.parent,
        parent_id=old.id,
        original_id=old.original_id or old.id,
        attempt_number=old.attempt_number + 1,
        original_created=old.original_created or old.history[0].date,
        kind=old.kind,
    )
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=new_id, message=message))
