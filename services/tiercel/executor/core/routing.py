"""
Which workers run a task: those that its author chose by tags, at the task, at a flowable around it, or at the flow.

Where no worker is there that has them, the selector says what is done: the task fails, waits, is run by any worker, or
the execution is cancelled. An executor that has not listened for long enough to know asks itself again until it has.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tiercel.errors import ExpressionError
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts, Lanes
from tiercel.executor.core.plan import Node
from tiercel.executor.core.rendering import Rendering
from tiercel.model.execution import TaskRun
from tiercel.model.flow import Flow
from tiercel.model.lane import lane_of_all
from tiercel.model.task import SelectorFallback, SelectorMatch, Task, WorkerGroup, WorkerSelector
from tiercel.queue.base import LANE_DEFAULT

ASKED_AGAIN_AFTER: Final = timedelta(seconds=1)
"""How long a task run waits for the next look at which workers there are."""


class NotKnownYet(Exception):
    """The executor has not listened for long enough to say that no worker is there."""


def lane_of(draft: Draft, facts: Facts, run: TaskRun, node: Node) -> str | None:
    """
    Return the lane of a task run's job; None when the execution is to be cancelled for want of a worker.

    Raises ExpressionError when the task is to fail, and NotKnownYet when that cannot be told.
    """
    chosen = _chosen(facts, node)
    if chosen is None:
        return LANE_DEFAULT
    lanes, fallback = _lanes(chosen, draft, facts, run, node)
    known: Lanes = facts.ask("lanes")
    found = next((lane for lane in lanes if lane in known.served), None)
    if found is not None or fallback is SelectorFallback.WAIT:
        return found or lanes[0]
    if fallback is SelectorFallback.IGNORE and known.is_whole:
        return LANE_DEFAULT
    if not known.is_whole:
        raise NotKnownYet
    if fallback is SelectorFallback.CANCEL:
        return None
    wanted = " or ".join(f"'{lane}'" for lane in lanes)
    raise ExpressionError(
        f"No worker is there for task '{node.id}', which asks for {wanted}; "
        "start one with these tags, or set the 'fallback' of its selector."
    )


def _chosen(facts: Facts, node: Node) -> WorkerGroup | WorkerSelector | None:
    """Return the nearest choice of workers: of the task, of the flowables around it, of the flow."""
    assert facts.plan is not None
    holders: list[Task | Flow] = [node.task, *(above.task for above in node.ancestors()), facts.plan.flow]
    for holder in holders:
        if holder.worker_group is not None and holder.worker_group.key:
            return holder.worker_group
        if holder.worker_selector is not None and holder.worker_selector.tags:
            return holder.worker_selector
    return None


def _lanes(
    chosen: WorkerGroup | WorkerSelector, draft: Draft, facts: Facts, run: TaskRun, node: Node
) -> tuple[list[str], SelectorFallback]:
    """Return the lanes that will do, and what is done when none of them is served."""
    if isinstance(chosen, WorkerGroup):
        key = Rendering(draft, facts, run, node).text(chosen.key) or LANE_DEFAULT
        return [key], chosen.fallback or SelectorFallback.WAIT
    any_of = chosen.match is SelectorMatch.ANY
    lanes = list(dict.fromkeys(chosen.tags)) if any_of else [lane_of_all(chosen.tags)]
    return lanes, chosen.fallback or SelectorFallback.FAIL
