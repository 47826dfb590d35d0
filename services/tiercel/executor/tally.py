"""What a saved decision adds to the metrics: told from what it changed, so that the core need not count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiercel.executor import metrics
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.plan import FlowPlan
from tiercel.model.live import HeadRecord, RunRecord, TimerKind
from tiercel.model.state import State
from tiercel.runtime.metrics import FLOWS

_DELAYS: Final = frozenset(
    {TimerKind.SCHEDULED_START, TimerKind.PAUSE_END, TimerKind.RETRY, TimerKind.LOOP_CHECK, TimerKind.FLOW_RETRY}
)
"""Timers that hold an execution, or a part of it, back."""


def tally(draft: Draft, before: HeadRecord | None, known: Mapping[int, RunRecord], plan: FlowPlan | None) -> None:
    """Count a draft that was saved; `before` and `known` are the head and the live task runs until then."""
    execution = draft.execution
    flow = FLOWS.labels(execution.tenant_id, execution.namespace, execution.flow_id)
    was = before.execution.state if before is not None else None
    state = execution.state
    if before is None:
        metrics.STARTED.labels(*flow).inc()
    if state is State.QUEUED and was is not State.QUEUED:
        metrics.QUEUED.labels(*flow).inc()
    if was is State.QUEUED and state is State.RUNNING:
        metrics.POPPED.labels(*flow).inc()
    if draft.head.kill_requested and not (before is not None and before.kill_requested):
        metrics.KILLED.labels(*flow).inc()
    if draft.head.done and state.is_terminated and not (before is not None and before.done):
        metrics.ENDED.labels(*flow, str(state)).inc()
        seconds = (execution.history[-1].date - execution.history[0].date).total_seconds()
        metrics.EXECUTION_SECONDS.labels(*flow, str(state)).observe(seconds)
    _tally_runs(draft, known, flow)
    _tally_timers(draft, flow)
    _tally_agreements(draft, before, plan, flow)


def _tally_runs(draft: Draft, known: Mapping[int, RunRecord], flow: tuple[str, str, str]) -> None:
    began = draft.execution.history[0].date
    created = flowables = resubmits = 0
    for seq, record in draft.runs.items():
        run, was = record.run, known.get(seq)
        if run.history[-1].date < began:
            continue  # a replay has copied it
        if seq in draft.created:
            created += 1
            flowables += record.branch is not None
        resubmits += record.resubmits - (was.resubmits if was is not None else 0)
        if run.state.is_terminated and (was is None or not was.run.state.is_terminated):
            metrics.RUNS_ENDED.labels(*flow, str(run.state)).inc()
            seconds = (run.history[-1].date - run.history[0].date).total_seconds()
            metrics.RUN_SECONDS.labels(*flow, str(run.state)).observe(seconds)
    if created:
        metrics.RUNS_CREATED.labels(*flow).inc(created)
    if flowables:
        metrics.FLOWABLES.labels(*flow).inc(flowables)
    if resubmits > 0:
        metrics.RESUBMITS.labels(*flow).inc(resubmits)


def _tally_timers(draft: Draft, flow: tuple[str, str, str]) -> None:
    for (kind, _), timer in draft.timers.items():
        if kind in _DELAYS:
            (metrics.DELAYS if timer is not None else metrics.DELAYS_ENDED).labels(*flow).inc()


def _tally_agreements(
    draft: Draft, before: HeadRecord | None, plan: FlowPlan | None, flow: tuple[str, str, str]
) -> None:
    known = before.violated if before is not None else ()
    violated = [each for each in draft.head.violated if each not in known]
    if not violated:
        return
    metrics.SLA_VIOLATIONS.labels(*flow).inc(len(violated))
    kinds = {agreement.id: agreement.type for agreement in plan.flow.sla} if plan is not None else {}
    expired = sum(kinds.get(each) == "MAX_DURATION" for each in violated)
    if expired:
        metrics.SLA_EXPIRED.labels(*flow).inc(expired)
