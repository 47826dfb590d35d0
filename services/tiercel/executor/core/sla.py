"""Agreements on executions (reference 1.7): the longest duration, and assertions that must hold at every event."""

from __future__ import annotations

from datetime import datetime, timedelta

from tiercel.condition.sla import violation
from tiercel.errors import FlowAuthorError
from tiercel.executor.core import killing
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import FlowPlan
from tiercel.executor.core.rendering import Rendering
from tiercel.executor.core.updates import merged
from tiercel.model.duration import later
from tiercel.model.flow import Sla, SlaType
from tiercel.model.live import RunRecord, TimerKind
from tiercel.model.state import State


def arm(draft: Draft, plan: FlowPlan) -> None:
    """Set a timer for each agreement on the duration."""
    for place, agreement in enumerate(plan.flow.sla):
        if agreement.type is SlaType.MAX_DURATION and agreement.duration is not None:
            draft.set_timer(TimerKind.SLA, place, later(draft.at, agreement.duration))


def expired(draft: Draft, facts: Facts, place: int) -> None:
    """The time of an agreement is over and the execution still runs: it is violated."""
    if facts.plan is not None and place < len(facts.plan.flow.sla) and not draft.execution.state.is_terminated:
        agreement = facts.plan.flow.sla[place]
        # Who set the timer has another clock, perhaps: that it is due is what counts.
        over = later(draft.execution.history[0].date, agreement.duration or timedelta())
        reason = _violation(draft, facts, agreement, max(draft.at, over))
        if reason is not None:
            _violate(draft, facts, agreement, reason)


def check(draft: Draft, facts: Facts) -> None:
    """Evaluate the assertions; one that does not hold is violated, once."""
    if facts.plan is None or not draft.exists or draft.execution.state.is_terminated:
        return
    for agreement in facts.plan.flow.sla:
        if agreement.type is not SlaType.EXECUTION_ASSERTION or agreement.id in draft.head.violated:
            continue
        try:
            reason = _violation(draft, facts, agreement, draft.at)
        except FlowAuthorError as error:
            draft.log("WARN", f"SLA '{agreement.id}' cannot be evaluated: {error}")
            continue
        if reason is not None:
            _violate(draft, facts, agreement, reason)
            return


def _violation(draft: Draft, facts: Facts, agreement: Sla, now: datetime) -> str | None:
    rendering = Rendering(draft, facts)
    begun = draft.execution.history[0].date
    said = violation(agreement, begun, now, rendering.context, rendering.with_variables)
    return None if said is None else f"SLA '{agreement.id}' violated: {said}"


def _violate(draft: Draft, facts: Facts, agreement: Sla, reason: str) -> None:
    draft.update(violated=(*draft.head.violated, agreement.id))
    draft.log("ERROR", reason)
    if agreement.labels:
        draft.change(labels=merged(draft.execution.labels, list(agreement.labels.items())))
    if agreement.behavior == "NONE":
        return
    if agreement.behavior == "FAIL":
        draft.change(error=reason)
    # The task run that was under way last shows what the agreement does; the others are killed.
    live = [record.run.seq for record in draft.live_runs() if not _holds_others(record, facts)]
    final = State.FAILED if agreement.behavior == "FAIL" else State.CANCELLED
    killing.begin(draft, facts, cascade=False, final=final, shown_by=max(live, default=None))


def _holds_others(record: RunRecord, facts: Facts) -> bool:
    node = facts.node_of(record.run.task_id)
    return record.branch is not None or (node is not None and node.kind.has_children)
