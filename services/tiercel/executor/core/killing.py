"""
Kill: a state machine with a deadline.

What has not begun ends at once; what a worker runs is asked to end and reports, or is given up at the deadline;
children in other executions are killed too and report. A result that arrives meanwhile is kept as what it was.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tiercel.executor.core import iteration_control, pausing
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import count_end, end_attempt, fold
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.jobs import forget_job
from tiercel.executor.core.plan import ROOT, Kind, Node
from tiercel.messages.broadcast import KillRun
from tiercel.messages.execution_event import KillRequested
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT
from tiercel.model.live import RunRecord, TimerKind
from tiercel.model.state import State
from tiercel.queue.base import Outgoing

DEADLINE: Final = timedelta(seconds=30)
"""A run whose worker has not answered a kill for this long ends KILLED."""


def begin(draft: Draft, facts: Facts, *, cascade: bool, final: State, shown_by: int | None = None) -> None:
    """Start to kill an execution; it ends in `final` when everything in it has ended, and so does `shown_by`."""
    if draft.execution.state.is_terminated and draft.head.done:
        return
    draft.update(kill_requested=True, final=str(final), final_run=shown_by, suspended=False, stalled=())
    if draft.execution.state is State.PAUSED:
        # A pause ends first: the history tells that it was not resumed by a person.
        draft.move(State.RESTARTED)
    if not draft.execution.state.is_terminated:
        draft.move(State.KILLING)
    draft.revoked = []
    draft.jobs.clear()
    waits = _end_runs(draft, facts, cascade=cascade)
    if waits:
        draft.set_timer(TimerKind.KILL_DEADLINE, 0, draft.at + DEADLINE)
    draft.ready.append(ROOT)


def kill_rest(draft: Draft, facts: Facts) -> None:
    """Kill what still runs of an execution that is over already, without waiting."""
    draft.revoked = []
    _end_runs(draft, facts, cascade=True)
    give_up(draft, facts)
    # Flowables are not asked what comes next in them: they end here, those further in first.
    for record in sorted(draft.live_runs(), key=lambda each: -each.run.seq):
        end_killed(draft, record.run.seq, facts.node_of(record.run.task_id))
    draft.ready.clear()


def _end_runs(draft: Draft, facts: Facts, *, cascade: bool) -> bool:
    """End what has not begun, ask the rest to end; tell whether an answer is awaited."""
    waits = False
    running: list[tuple[int, int]] = []
    for record in list(draft.live_runs()):
        node = facts.node_of(record.run.task_id)
        state = record.run.state
        if node is not None and node.kind.iterates and record.branch is not None:
            waits = iteration_control.kill(draft, record, cascade=cascade or node.kind is Kind.LOOP) or waits
            continue
        is_open = node is not None and (node.kind.has_children or record.branch is not None)
        if is_open and state is State.PAUSED and record.branch is not None and record.branch.behind:
            # Its `onPause` still runs, and is waited for.
            pausing.unpause_killed(draft, record.run.seq)
            draft.turn(record.run.seq, State.KILLING)
        elif is_open and state not in (State.PAUSED, State.RETRYING):
            draft.turn(record.run.seq, State.KILLING)
            draft.ready.append(record.run.seq)
        elif state is State.RUNNING and node is not None and node.kind is Kind.SUBFLOW:
            waits = _kill_child(draft, record, cascade=cascade) or waits
        elif state in (State.RUNNING, State.KILLING) and record.worker is not None:
            draft.turn(record.run.seq, State.KILLING)
            waits = True
            running.append((record.run.seq, record.run.attempt))
        elif state in (State.RUNNING, State.RETRYING) and _owner_runs(draft, record):
            continue
        else:
            end_killed(draft, record.run.seq, node)
    if running:
        kill = KillRun(execution_id=draft.execution.id, runs=tuple(running))
        draft.messages.append(Outgoing(topic=BROADCAST, key="", message=kill))
    return waits


def _owner_runs(draft: Draft, record: RunRecord) -> bool:
    """Tell whether a run is part of another run's job, which reports it."""
    above = draft.run(record.run.parent) if record.run.parent is not None else None
    return above is not None and above.worker is not None


def _kill_child(draft: Draft, record: RunRecord, *, cascade: bool) -> bool:
    node_waits = record.child_id is not None
    draft.turn(record.run.seq, State.KILLING)
    if cascade and record.child_id is not None:
        message = KillRequested(execution_id=record.child_id, at=draft.at)
        draft.messages.append(Outgoing(topic=EXECUTION_EVENT, key=record.child_id, message=message))
    return node_waits


def killed_as(draft: Draft, seq: int) -> State:
    """Return the state that a killed task run ends in: KILLED, but for the one that the execution's end is shown by."""
    head = draft.head
    return State(head.final) if seq == head.final_run and head.final is not None else State.KILLED


def end_killed(draft: Draft, seq: int, node: Node | None, state: State | None = None) -> None:
    """End a task run in this state; without one as KILLED, or as the execution ends."""
    record = draft.get(seq)
    state = state or killed_as(draft, seq)
    if record.run.state is State.PAUSED:
        pausing.unpause_killed(draft, seq)
    elif record.run.state is State.RETRYING and (int(TimerKind.RETRY), seq) in draft.head.timers:
        draft.clear_timer(TimerKind.RETRY, seq)
        draft.update(retrying=max(0, draft.head.retrying - 1))
    attempts = draft.get(seq).run.attempts
    if attempts and not attempts[-1].state.is_terminated:
        draft.put(replace(draft.get(seq), run=end_attempt(draft.get(seq).run, state, draft.at)))
    if not draft.turn(seq, state):
        draft.turn(seq, State.KILLING)
        draft.turn(seq, state)
    run = draft.get(seq).run
    forget_job(draft, record, node)
    if is_counted(draft, run.parent):
        count_end(draft, run, node)
    else:
        fold(draft, seq)


def is_counted(draft: Draft, parent: int | None) -> bool:
    """Tell whether a run's parent counts it: children of a job are told by the job itself."""
    if parent is None:
        return True
    above = draft.run(parent)
    return above is not None and above.branch is not None


def give_up(draft: Draft, facts: Facts) -> None:
    """End every run that has not answered the kill."""
    for record in list(draft.live_runs()):
        node = facts.node_of(record.run.task_id)
        if node is None or not (node.kind.has_children or record.branch is not None):
            end_killed(draft, record.run.seq, node)
        elif node.kind.iterates:
            iteration_control.give_up(draft, record.run.seq)
    for record in list(draft.live_runs()):
        draft.ready.append(record.run.seq)
    draft.ready.append(ROOT)
