"""Trigger events: answers of workers, ends of executions, commands of people, new revisions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tiercel.errors import Unavailable
from tiercel.messages.topics import TRIGGER_EVENT
from tiercel.messages.trigger_event import FlowChanged, TriggerEvent
from tiercel.queue.base import Delivery, Queue
from tiercel.scheduler import metrics
from tiercel.scheduler.catalogue import Catalogue
from tiercel.scheduler.core.decide import decide
from tiercel.scheduler.core.plan import flow_uid
from tiercel.scheduler.expressions import Expressions
from tiercel.scheduler.transaction import Pending

log = logging.getLogger(__name__)


async def handle(
    deliveries: Sequence[Delivery[TriggerEvent]],
    pending: Pending,
    catalogue: Catalogue,
    expressions: Expressions,
    queue: Queue,
    now: datetime,
) -> None:
    """Decide every event of a batch, in order; what cannot be decided becomes a dead letter."""
    for delivery in deliveries:
        metrics.EVENTS.inc()
        if delivery.message is None:
            await _bury(queue, delivery, delivery.error or "It cannot be decoded.")
            continue
        try:
            await _decide(delivery.message, pending, catalogue, expressions, now)
        except Unavailable:
            raise
        except Exception as error:  # a poisoned message must not stop the partition
            log.exception("trigger event failed", extra={"action": "trigger_event_failed", "trigger": delivery.key})
            await _bury(queue, delivery, f"{type(error).__name__}: {error}")


async def _decide(
    event: TriggerEvent, pending: Pending, catalogue: Catalogue, expressions: Expressions, now: datetime
) -> None:
    uid = event.trigger_uid
    state, plan = pending.known(uid)
    if isinstance(event, FlowChanged):
        tenant_id, namespace, flow_id = flow_uid(uid).split("/", 2)
        plans = await catalogue.plans(await catalogue.learn(tenant_id, namespace, flow_id))
        plan = plans.get(uid)
        if plan is None and uid in plans:
            return
    at = max(now, event.at) if isinstance(event, FlowChanged) else now
    decision = await expressions.decided(
        plan.flow if plan is not None else None, at, lambda render: decide(state, plan, event, now, render)
    )
    await pending.add(uid, plan, decision, now)


async def _bury(queue: Queue, delivery: Delivery[Any], reason: str) -> None:
    metrics.BURIED.inc()
    await queue.bury(TRIGGER_EVENT, delivery, reason)
