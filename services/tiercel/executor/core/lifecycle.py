"""Commands and answers that concern the execution as a whole: create, start, slots, labels, states by hand."""

from __future__ import annotations

from tiercel.executor.core import breakpoints, iteration_control, killing, pausing, quotas, restarting, sla
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.finishing import after_done, finish
from tiercel.executor.core.plan import ROOT
from tiercel.messages.creation import created
from tiercel.messages.execution_event import (
    CreateExecution,
    DeleteRequested,
    LabelsRequested,
    QuotaAnswered,
    SlotGranted,
    SlotRefused,
    SlotReleased,
    SlotRequested,
    StateRequested,
)
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model.flow import ConcurrencyBehavior, QuotaBehavior
from tiercel.model.live import Branch, HeadRecord, TimerKind
from tiercel.model.state import State
from tiercel.model.system import is_system_label
from tiercel.queue.base import Outgoing


def create(draft: Draft, facts: Facts, event: CreateExecution) -> None:
    """Create the execution, and start it unless it has to wait; a repeated create changes nothing."""
    if draft.exists or (facts.plan is None and event.failed is None and event.parent is None):
        # Without a flow there is nothing to create; only who waits for the end is told so.
        return
    execution = created(event)
    plan = facts.plan
    total = len(plan.branches["tasks"]) if plan is not None else 0
    draft.set_head(HeadRecord(execution=execution, branch=Branch(total=total)))
    if event.failed is not None or plan is None:
        reason = (
            event.failed
            or f"Flow '{event.namespace}.{event.flow_id}' at revision {event.flow_revision} does not exist."
        )
        draft.log("ERROR", reason)
        draft.change(error=reason)
        draft.move(State.FAILED)
        after_done(draft)
        return
    if facts.around.ignored.covers(execution):
        return
    sla.arm(draft, plan)
    if event.copied_runs:
        _take_over(draft, facts, event)
        return
    if plan.flow.quotas:
        quotas.request(draft, plan.flow)
        return
    _start_in_time(draft, facts)


def _start_in_time(draft: Draft, facts: Facts) -> None:
    date = draft.execution.schedule_date
    if date is not None and date > draft.at:
        draft.set_timer(TimerKind.SCHEDULED_START, 0, date)
    else:
        request_start(draft, facts)


def admitted(draft: Draft, facts: Facts, event: QuotaAnswered) -> None:
    """The flow's quotas have answered: where they have room the execution starts, else it ends as they say."""
    if draft.head.quota != event.scope:
        return
    draft.update(quota=None)
    if draft.execution.state is not State.CREATED:
        return
    if event.behavior is None:
        _start_in_time(draft, facts)
        return
    failed = event.behavior == QuotaBehavior.FAIL
    draft.log("ERROR" if failed else "WARN", event.reason or "")
    draft.change(error=event.reason)
    draft.move(State.FAILED if failed else State.CANCELLED)
    after_done(draft)


def _take_over(draft: Draft, facts: Facts, event: CreateExecution) -> None:
    """Begin as a copy of another execution, and run again what is to be run again."""
    last = event.copied_history[-1].state
    draft.change(state=last, history=event.copied_history)
    for record in event.copied_runs:
        draft.add(record)
    draft.outputs.extend(event.copied_outputs)
    draft.update(next_seq=max(record.run.seq for record in event.copied_runs) + 1)
    restarting.prepare(draft, event.reopened)
    request_start(draft, facts)


def request_start(draft: Draft, facts: Facts) -> None:
    """Start the execution, or ask its concurrency scope for a slot first."""
    assert facts.plan is not None
    flow = facts.plan.flow
    if flow.concurrency is None:
        start(draft, facts)
        return
    scope = f"scope/{draft.execution.tenant_id}/{flow.namespace}/{flow.id}"
    draft.update(scope=scope)
    message = SlotRequested(
        execution_id=scope,
        at=draft.at,
        holder=draft.execution.id,
        limit=flow.concurrency.limit,
        behavior=str(flow.concurrency.behavior),
    )
    draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=scope, message=message))


def start(draft: Draft, facts: Facts) -> None:
    """Let the first tasks begin, or what a restart runs again."""
    if draft.head.reopen is not None:
        restarting.go_on(draft, facts)
    elif draft.move(State.RUNNING):
        draft.ready.append(ROOT)


def granted(draft: Draft, facts: Facts, event: SlotGranted) -> None:
    """The execution has its slot; one that is over, or never asked, gives it back."""
    waits = draft.exists and draft.head.scope == event.scope
    if waits and draft.execution.state in (State.CREATED, State.QUEUED, State.RESTARTED):
        start(draft, facts)
    elif not waits or draft.execution.state.is_terminated:
        message = SlotReleased(execution_id=event.scope, at=draft.at, holder=event.execution_id)
        draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=event.scope, message=message))


def refused(draft: Draft, event: SlotRefused) -> None:
    """There is no slot: the execution waits, is cancelled or fails, as its flow says."""
    if not draft.exists or draft.head.scope != event.scope:
        return
    if draft.execution.state not in (State.CREATED, State.RESTARTED):
        return
    match ConcurrencyBehavior(event.behavior):
        case ConcurrencyBehavior.QUEUE:
            draft.move(State.QUEUED)
        case ConcurrencyBehavior.CANCEL:
            draft.update(scope=None)
            draft.move(State.CANCELLED)
            after_done(draft)
        case ConcurrencyBehavior.FAIL:
            draft.update(scope=None)
            reason = "Flow is FAILED due to concurrency limit exceeded"
            draft.log("ERROR", reason)
            draft.change(error=reason)
            draft.move(State.FAILED)
            after_done(draft)


def leave_line(draft: Draft, facts: Facts, state: State) -> None:
    """Take a queued execution out of the waiting line: run it, or end it in the state that was asked for."""
    if draft.execution.state is not State.QUEUED:
        return
    if state is State.RUNNING:
        start(draft, facts)
    elif state in (State.CANCELLED, State.FAILED, State.KILLED):
        finish(draft, facts, state)


def force_run(draft: Draft, facts: Facts) -> None:
    """Run now, whatever the execution waits for."""
    match draft.execution.state:
        case State.CREATED:
            draft.clear_timer(TimerKind.SCHEDULED_START, 0)
            start(draft, facts)
        case State.QUEUED:
            start(draft, facts)
        case State.RESTARTED if draft.head.reopen is not None:
            start(draft, facts)
        case State.PAUSED:
            pausing.resume(draft, facts, None, None)
        case State.BREAKPOINT:
            breakpoints.go_on(draft, facts, ())
        case _:
            draft.ready.append(ROOT)


def set_labels(draft: Draft, event: LabelsRequested) -> None:
    """Replace all labels that are not system labels."""
    kept = tuple((key, value) for key, value in draft.execution.labels if is_system_label(key))
    draft.change(labels=(*event.labels, *kept))


def set_state(draft: Draft, event: StateRequested) -> None:
    """Set the state of a terminated execution by hand."""
    if draft.execution.state.is_terminated and draft.head.done:
        draft.move(event.state)


def delete(draft: Draft, facts: Facts, event: DeleteRequested) -> None:
    """Forget the execution; one that has not ended is killed first, without waiting, when that is asked for."""
    if not draft.execution.state.is_terminated:
        if not event.running:
            return
        killing.kill_rest(draft, facts)
        draft.move(State.KILLING)
        draft.move(State.KILLED)
        after_done(draft)
    if iteration_control.delete_iterations(draft, facts, event):
        draft.deletion = event


def kill(draft: Draft, facts: Facts, *, cascade: bool, state: State) -> None:
    """Kill the execution; one that has not begun, or that waits, ends at once."""
    execution = draft.execution
    if execution.state.is_terminated:
        return
    killing.begin(draft, facts, cascade=cascade, final=state)


def fail(draft: Draft, facts: Facts, reason: str) -> None:
    """End the execution FAILED because an event of it could not be decided."""
    if not draft.exists or draft.execution.state.is_terminated:
        return
    draft.log("ERROR", reason)
    draft.change(error=reason)
    killing.begin(draft, facts, cascade=True, final=State.FAILED)
