"""
Quotas: at most so many new executions of a flow per window of time.

Windows are fixed and aligned to UTC (an hour begins at :00), so that what is counted is a number, not a list. The count
is kept in an aggregate beside the executions; a new one asks it before it starts, and is answered by a message.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from tiercel.executor.core.draft import Draft
from tiercel.messages.execution_event import QuotaAnswered, QuotaLimit, QuotaRequested
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model.duration import format_duration
from tiercel.model.flow import Flow
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Scope

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def request(draft: Draft, flow: Flow) -> None:
    """Ask whether the flow's quotas have room for a new execution; it waits for the answer."""
    scope = f"quota/{draft.execution.tenant_id}/{flow.namespace}/{flow.id}"
    limits = tuple(
        QuotaLimit(seconds=quota.duration.total_seconds(), limit=quota.limit, behavior=str(quota.behavior))
        for quota in flow.quotas
    )
    draft.update(quota=scope)
    message = QuotaRequested(execution_id=scope, at=draft.at, holder=draft.execution.id, quotas=limits)
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=scope, message=message))


def decide(scope: Scope, event: QuotaRequested) -> tuple[Scope, list[Outgoing]]:
    """Count the execution in every window, or in none when one of them is full."""
    counts: dict[str, list[int]] = scope.body.get("windows", {})
    counted: dict[str, list[int]] = {}
    for quota in event.quotas:
        name = str(quota.seconds)
        window = int((event.at - _EPOCH).total_seconds() // quota.seconds)
        known, count = counts.get(name, (window, 0))
        # An event that was told late, by a slow clock, is counted in the window that has begun meanwhile.
        window, count = (known, count) if known >= window else (window, 0)
        if count >= quota.limit:
            return scope, [_answer(event, quota)]
        counted[name] = [window, count + 1]
    return msgspec.structs.replace(scope, body={"windows": counted}), [_answer(event, None)]


def _answer(event: QuotaRequested, full: QuotaLimit | None) -> Outgoing:
    message = QuotaAnswered(
        execution_id=event.holder,
        at=event.at,
        scope=event.execution_id,
        behavior=full.behavior if full is not None else None,
        reason=_reason(full) if full is not None else None,
    )
    return Outgoing(topic=EXECUTION_EVENT, key=event.holder, message=message)


def _reason(full: QuotaLimit) -> str:
    duration = format_duration(timedelta(seconds=full.seconds))
    return f"Quota exceeded: the flow may be executed {full.limit} times per {duration}; try again in the next window."
