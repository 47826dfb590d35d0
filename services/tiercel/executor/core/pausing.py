"""Pauses: a Pause task waits for a person or a while; a person pauses and resumes the execution as a whole."""

from __future__ import annotations

from typing import Any, Final

from tiercel.executor.core import iteration_control
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import end_attempt, set_outputs
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import ROOT, Node
from tiercel.executor.core.rendering import Rendering
from tiercel.model.duration import later
from tiercel.model.instant import iso_text
from tiercel.model.live import Branch, RunRecord, TimerKind
from tiercel.model.state import State
from tiercel.plugins.core.flow.pause import Pause, PauseBehavior

EXPIRED: Final = "The pause was not resumed in time."

TO_SUCCESS, TO_FAILED = 0, 1
"""What the timer of a pause means."""


def begin(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """Pause at a Pause task; wake it after its duration, if it has one."""
    task = node.task
    assert isinstance(task, Pause)
    rendering = Rendering(draft, facts, draft.get(seq).run, node)
    behavior = rendering.choice(task.behavior, PauseBehavior, "behavior") or PauseBehavior.RESUME
    duration = rendering.duration(task.pause_duration, "pauseDuration")
    timeout = rendering.duration(task.timeout, "timeout")
    record = draft.get(seq)
    branch = Branch(total=len(node.branches.get("tasks", ())), data={"behavior": str(behavior)})
    if duration is not None:
        draft.set_timer(TimerKind.PAUSE_END, seq, later(draft.at, duration))
    elif timeout is not None:
        draft.set_timer(TimerKind.PAUSE_END, seq, later(draft.at, timeout))
        branch = replace(branch, data={"behavior": str(PauseBehavior.FAIL)})
    draft.put(replace(record, branch=branch))
    draft.turn(seq, State.PAUSED)
    draft.update(paused=draft.head.paused + 1)
    draft.move(State.PAUSED)
    if task.on_pause is not None and not task.on_pause.disabled:
        draft.set_branch(seq, replace(branch, behind=1))
        draft.pending_starts.append((seq, node.branches["onPause"][0]))


def is_pause(record: RunRecord, node: Node | None) -> bool:
    """Tell whether a task run waits for a resume."""
    return node is not None and isinstance(node.task, Pause) and record.run.state is State.PAUSED


def release(draft: Draft, seq: int, inputs: dict[str, Any] | None, by: str | None) -> None:
    """Let a paused task run go on: its own tasks come next, or its end."""
    draft.clear_timer(TimerKind.PAUSE_END, seq)
    branch = draft.branch(seq)
    if branch.total or branch.behind:
        draft.turn(seq, State.RUNNING)
    draft.set_branch(seq, replace(branch, data={**branch.data, "resumed": True}))
    resumed = {"on": iso_text(draft.at), **({"by": by} if by else {})}
    set_outputs(draft, seq, {"onResume": inputs or {}, "resumed": resumed})
    draft.update(paused=max(0, draft.head.paused - 1))
    draft.ready.append(seq)


def resume(draft: Draft, facts: Facts, inputs: dict[str, Any] | None, by: str | None) -> None:
    """Resume the execution: the first paused task run, or the whole when a person had paused it."""
    plan = facts.plan
    assert plan is not None
    if draft.head.suspended:
        draft.update(suspended=False)
        draft.ready.extend([*draft.head.stalled, ROOT])
        draft.update(stalled=())
    for record in draft.live_runs():
        if is_pause(record, plan.nodes.get(record.run.task_id)):
            release(draft, record.run.seq, inputs, by)
            break
        if iteration_control.pass_resume(draft, record, plan.nodes.get(record.run.task_id), inputs, by):
            break
    if draft.execution.state is State.PAUSED and not draft.head.paused:
        draft.move(State.RESTARTED)
        draft.move(State.RUNNING)


def expire(draft: Draft, seq: int) -> State | None:
    """End a pause whose time is over; return the state that its task run ends in, None when it goes on."""
    record = draft.run(seq)
    if record is None or record.run.state is not State.PAUSED:
        return None
    behavior = PauseBehavior(draft.branch(seq).data.get("behavior", PauseBehavior.RESUME))
    release(draft, seq, None, None)
    if draft.execution.state is State.PAUSED and not draft.head.paused and not draft.head.suspended:
        draft.move(State.RUNNING)
    match behavior:
        case PauseBehavior.WARN:
            return State.WARNING
        case PauseBehavior.FAIL:
            draft.log("ERROR", EXPIRED, record.run)
            paused = draft.get(seq)
            draft.put(replace(paused, run=replace(paused.run, error=EXPIRED)))
            return State.FAILED
        case PauseBehavior.CANCEL:
            return State.CANCELLED
        case PauseBehavior.RESUME:
            return None


def suspend(draft: Draft) -> None:
    """Pause the execution as a whole: what runs ends, nothing new starts."""
    if draft.head.reopen is None and draft.move(State.PAUSED):
        draft.update(suspended=True)


def unpause_killed(draft: Draft, seq: int) -> None:
    """Take a killed Pause out of the count of pauses."""
    draft.clear_timer(TimerKind.PAUSE_END, seq)
    record = draft.get(seq)
    draft.put(replace(record, run=end_attempt(record.run, State.KILLED, draft.at)))
    draft.update(paused=max(0, draft.head.paused - 1))
