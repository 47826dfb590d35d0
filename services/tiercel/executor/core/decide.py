"""One event, one draft: the door of the core."""

from __future__ import annotations

from datetime import datetime
from typing import Final, assert_never

from tiercel.executor.core import (
    approving,
    breakpoints,
    correcting,
    iteration_control,
    killing,
    lifecycle,
    pausing,
    replaying,
    reports,
    restarting,
    sla,
)
from tiercel.executor.core.advancing import settle
from tiercel.executor.core.aggregate import Aggregate
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.loops import next_round
from tiercel.executor.core.plan import ROOT, Kind
from tiercel.executor.core.starting import end, look_again
from tiercel.messages import execution_event as events
from tiercel.model.live import TimerKind
from tiercel.model.state import State

ExecutionOnly = (
    events.CreateExecution
    | events.TaskStarted
    | events.TaskFinished
    | events.ChildRunReported
    | events.WorkerLost
    | events.JobReturned
    | events.JobRefused
    | events.ChildEnded
    | events.IterationPaused
    | events.SlotGranted
    | events.SlotRefused
    | events.QuotaAnswered
    | events.TimerDue
    | events.KillRequested
    | events.PauseRequested
    | events.ResumeRequested
    | events.ReviewRequested
    | events.BreakpointLeft
    | events.RestartRequested
    | events.ReplayRequested
    | events.TaskRunStateRequested
    | events.StateRequested
    | events.LabelsRequested
    | events.ForceRunRequested
    | events.UnqueueRequested
    | events.DeleteRequested
    | events.ContinueRequested
    | events.EventFailed
)
"""Events of executions, without those of concurrency scopes."""


_HEARD_IGNORED: Final = (events.KillRequested, events.DeleteRequested, events.LabelsRequested, events.TaskStarted)
"""What happens to an ignored execution nonetheless: a person ends it, and a worker that has a job of it is answered."""


def decide(base: Aggregate | Draft | None, event: ExecutionOnly, facts: Facts) -> Draft:
    """
    Fold one event into a draft; raise Missing for what must be fetched first.

    `base` is the execution as saved, or the draft of the events before it in the batch; None when it does not exist.
    An event that the execution's state does not allow changes nothing.
    """
    draft = Draft(base, _time(base, event.at))
    facts.at = draft.at
    if not draft.exists and not isinstance(event, events.CreateExecution):
        _refuse_unknown(draft, facts, event)
        return draft
    if draft.exists and not isinstance(event, _HEARD_IGNORED) and facts.around.ignored.covers(draft.execution):
        return draft
    _apply(draft, facts, event)
    settle(draft, facts)
    if draft.exists and facts.plan is not None and facts.plan.flow.sla:
        sla.check(draft, facts)
        settle(draft, facts)
    iteration_control.tell_pause(draft, base)
    return draft


def _time(base: Aggregate | Draft | None, at: datetime) -> datetime:
    """Return the time of the event, not before the last change of the execution."""
    if base is None or (isinstance(base, Draft) and not base.exists):
        return at
    history = base.head.execution.history
    return max(at, history[-1].date) if history else at


def _refuse_unknown(draft: Draft, facts: Facts, event: ExecutionOnly) -> None:
    """Answer an event for an execution that is not there: a worker is told to stop, a slot is given back."""
    match event:
        case events.TaskStarted():
            reports.started(draft, facts, event)
        case events.SlotGranted():
            lifecycle.granted(draft, facts, event)
        case _:
            return


def _apply(draft: Draft, facts: Facts, event: ExecutionOnly) -> None:
    match event:
        case events.CreateExecution():
            lifecycle.create(draft, facts, event)
        case events.TaskStarted():
            reports.started(draft, facts, event)
        case events.TaskFinished():
            reports.finished(draft, facts, event)
        case events.ChildRunReported():
            reports.child_run(draft, facts, event)
        case events.WorkerLost():
            reports.lost(draft, facts, event)
        case events.JobReturned():
            reports.returned(draft, facts, event)
        case events.JobRefused():
            reports.refused(draft, facts, event)
        case events.ChildEnded():
            reports.child_ended(draft, facts, event)
        case events.IterationPaused():
            iteration_control.paused(draft, event)
        case events.ContinueRequested(seq=seq):
            draft.ready.append(seq)
        case events.TimerDue():
            _timer_due(draft, facts, event)
        case _:
            _apply_command(draft, facts, event)


def _apply_command(draft: Draft, facts: Facts, event: ExecutionOnly) -> None:
    match event:
        case events.SlotGranted():
            lifecycle.granted(draft, facts, event)
        case events.SlotRefused():
            lifecycle.refused(draft, event)
        case events.QuotaAnswered():
            lifecycle.admitted(draft, facts, event)
        case events.KillRequested() if draft.execution.state is State.RETRIED:
            replaying.kill_retry(draft, event)
        case events.KillRequested(cascade=cascade, state=state):
            lifecycle.kill(draft, facts, cascade=cascade, state=state)
        case events.PauseRequested():
            pausing.suspend(draft)
        case events.ResumeRequested(inputs=inputs, resumed_by=by):
            pausing.resume(draft, facts, inputs, by)
        case events.ReviewRequested():
            approving.review(draft, facts, event)
        case events.BreakpointLeft(breakpoints=following):
            breakpoints.go_on(draft, facts, following)
        case events.RestartRequested():
            if restarting.restart(draft, facts):
                lifecycle.request_start(draft, facts)
            elif draft.execution.state is State.PAUSED:
                # The loop around has begun anew, and knows nothing of the pause.
                iteration_control.tell(draft, is_paused=True)
        case events.ReplayRequested():
            replaying.replay(draft, facts, event)
        case events.TaskRunStateRequested():
            correcting.set_task_run_state(draft, facts, event)
        case events.StateRequested():
            lifecycle.set_state(draft, event)
        case events.LabelsRequested():
            lifecycle.set_labels(draft, event)
        case events.ForceRunRequested():
            lifecycle.force_run(draft, facts)
        case events.UnqueueRequested(state=state):
            lifecycle.leave_line(draft, facts, state)
        case events.DeleteRequested():
            lifecycle.delete(draft, facts, event)
        case events.EventFailed(reason=reason):
            lifecycle.fail(draft, facts, reason)
        case (
            events.CreateExecution()
            | events.TaskStarted()
            | events.TaskFinished()
            | events.ChildRunReported()
            | events.WorkerLost()
            | events.JobReturned()
            | events.JobRefused()
            | events.ChildEnded()
            | events.IterationPaused()
            | events.ContinueRequested()
            | events.TimerDue()
        ):
            raise AssertionError("handled by _apply")
        case _:
            assert_never(event)


def _timer_due(draft: Draft, facts: Facts, event: events.TimerDue) -> None:
    if (int(event.kind), event.subject) not in draft.head.timers:
        return
    draft.clear_timer(event.kind, event.subject)
    match event.kind:
        case TimerKind.SCHEDULED_START:
            if draft.execution.state is State.CREATED:
                lifecycle.request_start(draft, facts)
        case TimerKind.PAUSE_END:
            _pause_over(draft, facts, event.subject)
        case TimerKind.RETRY:
            reports.retry_due(draft, facts, event.subject)
        case TimerKind.LOOP_CHECK:
            if draft.run(event.subject) is not None:
                next_round(draft, facts, event.subject)
        case TimerKind.KILL_DEADLINE:
            if draft.head.kill_requested:
                killing.give_up(draft, facts)
        case TimerKind.SLA:
            sla.expired(draft, facts, event.subject)
        case TimerKind.FLOW_RETRY:
            replaying.retry_execution(draft)
        case TimerKind.CONTINUE:
            look_again(draft, facts, event.subject)
        case TimerKind.TRIGGER:
            draft.ready.append(ROOT)


def _pause_over(draft: Draft, facts: Facts, seq: int) -> None:
    record = draft.run(seq)
    node = facts.node_of(record.run.task_id) if record is not None else None
    if node is not None and node.kind is Kind.APPROVAL:
        approving.expire(draft, seq, node)
        return
    state = pausing.expire(draft, seq)
    if state is State.CANCELLED and draft.branch(seq).behind:
        # Its `onPause` still runs, and is waited for.
        killing.begin(draft, facts, cascade=True, final=state, shown_by=seq)
    elif node is not None and state is State.CANCELLED:
        end(draft, seq, node, State.CANCELLED)
        draft.leave = State.CANCELLED
    elif state is not None:
        branch = draft.branch(seq)
        # A pause that fails has failed as if one of its tasks had: its errors come next.
        failed = branch.failed + int(state is State.FAILED)
        draft.set_branch(seq, replace(branch, failed=failed, data={**branch.data, "expired": str(state)}))
