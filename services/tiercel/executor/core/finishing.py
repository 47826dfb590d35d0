"""How an execution ends: its outputs, its final state, and everyone who waits for it."""

from __future__ import annotations

from typing import Any

from tiercel.condition.evaluate import Subject, all_hold, upstream_of
from tiercel.errors import ExpressionError, FlowAuthorError
from tiercel.executor.core import killing
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.outputs import flow_outputs
from tiercel.executor.core.plan import ROOT
from tiercel.executor.core.rendering import Rendering
from tiercel.messages.execution_event import ChildEnded, SlotReleased
from tiercel.messages.topics import EXECUTION_EVENT, TRIGGER_EVENT
from tiercel.messages.trigger_event import TriggeredExecutionEnded
from tiercel.model.live import Branch, Phase, TimerKind
from tiercel.model.state import State
from tiercel.queue.base import Outgoing


def finish(draft: Draft, facts: Facts, state: State) -> None:
    """Bring the execution into its final state, then start what comes after the end."""
    plan = facts.plan
    if plan is not None and plan.flow.outputs and state not in (State.KILLED, State.RETRIED):
        try:
            outputs = flow_outputs(draft, facts)
        except FlowAuthorError as error:
            draft.log("ERROR", f"The outputs of the flow cannot be rendered: {error}")
            draft.change(error=str(error))
            state = State.FAILED
        else:
            draft.change(outputs=outputs or None)
    draft.move(state)
    _clear_timers(draft)
    after = plan.branches["after"] if plan is not None and state is not State.RETRIED else ()
    started = [node for node in after if _listens(draft, facts, node.branch)]
    if started:
        data: dict[str, Any] = {"after": [node.id for node in started]}
        draft.set_branch(ROOT, Branch(phase=Phase.AFTER, total=len(started), data=data))
        if draft.head.kill_requested:
            # Workers remember the kill for jobs of this generation: what is run after it is of the next one.
            draft.change(generation=draft.execution.generation + 1)
        draft.update(kill_requested=False, final=None)
        draft.ready.append(ROOT)
        _release_slot(draft)
    else:
        after_done(draft)


def _clear_timers(draft: Draft) -> None:
    """Let nothing wake an execution that is over, but the next try of one that is RETRIED."""
    for kind, subject in draft.head.timers:
        if kind != TimerKind.FLOW_RETRY:
            draft.clear_timer(TimerKind(kind), subject)


def _listens(draft: Draft, facts: Facts, branch: str) -> bool:
    """Tell whether a task after the end is to run: listeners of the old dialect have conditions."""
    if not branch.startswith("listener."):
        return True
    assert facts.plan is not None
    listener = facts.plan.flow.listeners[int(branch.partition(".")[2])]
    rendering = Rendering(draft, facts)
    subject = Subject(
        namespace=facts.plan.flow.namespace,
        flow_id=facts.plan.flow.id,
        variables=rendering.context,
        execution=upstream_of(draft.execution),
    )
    try:
        return all_hold(listener.conditions, subject, rendering.with_variables)
    except ExpressionError as error:
        draft.log("WARN", f"The conditions of a listener cannot be evaluated: {error}")
        return False


def after_done(draft: Draft) -> None:
    """Tell everyone that the execution is over, tasks after its end included."""
    execution = draft.execution
    draft.update(done=True, reopen=None)
    _release_slot(draft)
    parent = execution.parent
    if parent is not None and parent.wait and execution.state is not State.RETRIED:
        message = ChildEnded(
            execution_id=parent.execution_id,
            at=draft.at,
            seq=parent.seq,
            attempt=parent.attempt,
            child_id=execution.id,
            original_id=execution.original_id,
            state=execution.state,
            outputs=execution.outputs,
            iteration=parent.iteration,
        )
        draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=parent.execution_id, message=message))
    trigger = execution.trigger
    if trigger is not None and parent is None:
        uid = f"{execution.tenant_id}/{execution.namespace}/{execution.flow_id}/{trigger.id}"
        ended = TriggeredExecutionEnded(trigger_uid=uid, at=draft.at, execution_id=execution.id, state=execution.state)
        draft.messages.append(Outgoing(topic=TRIGGER_EVENT, key=uid, message=ended))


def _release_slot(draft: Draft) -> None:
    scope = draft.head.scope
    if scope is not None:
        draft.update(scope=None)
        message = SlotReleased(execution_id=scope, at=draft.at, holder=draft.execution.id)
        draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=scope, message=message))


def leave(draft: Draft, facts: Facts) -> None:
    """End the execution now in the state that was asked for: what still runs is killed first."""
    state = draft.leave
    draft.leave = None
    assert state is not None
    if state is State.RETRIED:
        killing.kill_rest(draft, facts)
        if draft.execution.state is State.PAUSED:
            draft.move(State.RESTARTED)
        draft.move(State.RUNNING)
        draft.move(State.RETRIED)
        _clear_timers(draft)
        draft.update(paused=0)
        after_done(draft)
        return
    killing.begin(draft, facts, cascade=True, final=state)
    draft.ready.append(ROOT)
