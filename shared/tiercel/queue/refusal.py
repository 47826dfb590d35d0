"""
What is said when a job cannot be decoded: nobody will run it, and whoever waits for it must know.

The row of a job names its owner, an execution (with the place of its task run) or a trigger; both are told, and who is
not meant knows nothing of such an owner.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tiercel.messages.execution_event import JobRefused
from tiercel.messages.topics import EXECUTION_EVENT, TRIGGER_EVENT
from tiercel.messages.trigger_event import TriggerEvaluated
from tiercel.queue.base import Outgoing


def refusals(owner: str, seq: int, reason: str, attempt: int | None = None) -> list[Outgoing]:
    """Return the messages to the owner of a job that nobody can read; `attempt` when a worker had it already."""
    now = datetime.now(UTC)
    fate = " and is a dead letter" if attempt is None else ""
    sentence = f"The job cannot be read by its worker{fate}: {reason}"
    refused = JobRefused(execution_id=owner, at=now, seq=seq, reason=sentence, attempt=attempt)
    told = [Outgoing(topic=EXECUTION_EVENT, key=owner, message=refused)]
    if "/" in owner:  # as in the uid of every trigger
        evaluated = TriggerEvaluated(trigger_uid=owner, at=now, error=sentence)
        told.append(Outgoing(topic=TRIGGER_EVENT, key=owner, message=evaluated))
    return told
