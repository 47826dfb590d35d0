"""Breakpoints: an execution stops before a task, shows what it would run with, and goes on when it is told to."""

from __future__ import annotations

from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.starting import activate
from tiercel.model.execution import Breakpoint
from tiercel.model.state import State


def go_on(draft: Draft, facts: Facts, following: tuple[Breakpoint, ...]) -> None:
    """Run what stands at a breakpoint; only the breakpoints that follow stop the execution from now on."""
    if draft.execution.state is not State.BREAKPOINT or facts.plan is None:
        return
    draft.change(breakpoints=following)
    draft.move(State.RUNNING)
    for record in list(draft.live_runs()):
        if record.run.state is State.BREAKPOINT:
            seq = record.run.seq
            draft.turn(seq, State.CREATED)
            activate(draft, facts, seq, facts.plan.nodes[record.run.task_id], passes=True)
