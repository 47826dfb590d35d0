"""
Missed deadlines: a Flow trigger with `onMiss` whose window has ended without its dependencies being met.

Nothing upstream may have happened at all, so that no event would come: the owner of the trigger asks when a window has
ended. What was judged is a row of the trigger, so that each window is judged once, whoever asks and however often.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tiercel.condition.evaluate import label_pairs
from tiercel.condition.flow_trigger import windows
from tiercel.condition.label import trigger_labels
from tiercel.condition.window import Bounds, bounds_of
from tiercel.errors import ExpressionError
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.host import FactsHost
from tiercel.executor.core.listening import key_of, listens
from tiercel.expression.rendering import Renderer
from tiercel.messages.execution_event import CreateExecution, WindowEnded
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model import ids
from tiercel.model.execution import TriggerInfo
from tiercel.model.flow import Flow
from tiercel.model.system import CORRELATION_ID
from tiercel.plugins.core.trigger.flow import FlowTrigger, OnMiss
from tiercel.queue.base import Outgoing

DAY = timedelta(days=1)
GRACE = timedelta(seconds=2)
"""An upstream execution that came in time may be told of a moment later."""
FAIL = "FAIL"


def watched(flow: Flow) -> list[FlowTrigger]:
    """Return the triggers of a flow that say what happens when their window ends and not all was met."""
    if not listens(flow):
        return []
    return [
        trigger
        for trigger in flow.triggers
        if isinstance(trigger, FlowTrigger)
        and not trigger.disabled
        and trigger.on_miss is not None
        and trigger.on_miss.behavior == FAIL
        and trigger.depends_on
        and (trigger.window is None or trigger.window.lookback is None)
    ]


def next_end(trigger: FlowTrigger, now: datetime) -> datetime:
    """Return when the window that is open, or else the next one, is to be judged."""
    rule = windows(trigger)[""]
    end = bounds_of(rule, now.astimezone(UTC)).end
    if end + GRACE <= now:
        end = bounds_of(rule, now.astimezone(UTC) + DAY).end
    return end + GRACE


def last_window(trigger: FlowTrigger, now: datetime) -> Bounds | None:
    """Return the last window that is over, None when it cannot be told."""
    rule, over = windows(trigger)[""], now.astimezone(UTC) - GRACE
    present = bounds_of(rule, over)
    daily = rule is None or getattr(rule, "every", None) is None
    for bounds in (present, bounds_of(rule, over - DAY if daily else present.start - timedelta(milliseconds=1))):
        if bounds.end <= over:
            return bounds
    return None


def missed(
    trigger: FlowTrigger, event: WindowEnded, judged: datetime | None, fired: datetime | None
) -> tuple[datetime | None, bool]:
    """
    Return the end of the last window that is judged now, and whether it was missed.

    A trigger that is seen for the first time is not blamed for windows before it.
    """
    window = last_window(trigger, event.at)
    if window is None or (judged is not None and judged >= window.end):
        return judged, False
    met = fired is not None and window.start <= fired <= window.end
    return window.end, judged is not None and not met


def failed_execution(flow: Flow, trigger: FlowTrigger, end: datetime, event: WindowEnded, facts: Facts) -> Outgoing:
    """Return the FAILED execution that stands for a missed window."""
    assert trigger.on_miss is not None
    key = key_of(flow, trigger)
    new_id = ids.derived_id(end, key, "missed")
    renderer = Renderer(facts.engine, FactsHost(facts, event.at, new_id))
    context = {"flow": {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision}}
    labels = dict(trigger_labels(flow, trigger, context, renderer.render))
    labels.update(_labels(trigger.on_miss, renderer, context))
    labels[CORRELATION_ID] = new_id
    until = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    message = CreateExecution(
        execution_id=new_id,
        at=event.at,
        tenant_id=flow.tenant_id,
        namespace=flow.namespace,
        flow_id=flow.id,
        flow_revision=flow.revision or 1,
        labels=tuple(labels.items()),
        trigger=TriggerInfo(id=trigger.id, type=trigger.type),
        failed=f"The dependencies of trigger '{trigger.id}' were not met until {until}, the end of its window.",
    )
    return Outgoing(topic=EXECUTION_EVENT, key=new_id, message=message)


def _labels(rule: OnMiss, renderer: Renderer, context: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = {}
    try:
        pairs = label_pairs(rule.labels or {}, context, renderer.render)
    except ExpressionError:
        return labels
    for key, value in pairs:
        try:
            labels[key] = renderer.render(str(value), context)
        except ExpressionError:
            # As with labels of triggers: one that cannot be rendered is left out.
            continue
    return labels


def event_of(flow: Flow, trigger: FlowTrigger, now: datetime) -> WindowEnded:
    """Return the question whether a window of the trigger was missed."""
    return WindowEnded(
        execution_id=key_of(flow, trigger),
        at=now,
        tenant_id=flow.tenant_id,
        namespace=flow.namespace,
        flow_id=flow.id,
        trigger_id=trigger.id,
    )
