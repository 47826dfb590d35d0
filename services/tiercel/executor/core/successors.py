"""
What may be run right after a job, by the same worker: the next task of its list, when that one only computes.

The job carries it, and the worker's report what came of it. Whether the task is run at all is decided when the report
is there, as ever; a result stands for a job only if it is that job's (docs/adr/0028).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tiercel.executor.core import reach
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import FlowPlan, Kind, Node
from tiercel.messages.execution_event import TaskFinished, TaskStarted
from tiercel.messages.successor import OWN, Successor, SuccessorResult, fingerprint
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State
from tiercel.plugins.base import only_computes
from tiercel.queue.base import LANE_DEFAULT

BYTES_MAX: Final = 4096
"""Of definition and context: with more, the job would not fit into its signal, which costs more than is won."""
_ABOUT_RUNS: Final = frozenset({OWN, "parent", "parents", "tasks", "error"})
"""Variables that tell of task runs."""
_IN_ORDER: Final = frozenset({Kind.SEQUENTIAL, Kind.CHOICE, Kind.LOOP})
"""Kinds whose children come one after the other."""


def node_after(node: Node, plan: FlowPlan) -> Node | None:
    """Return the task after this one in its list if it only computes, and reaches nothing that is not known yet."""
    if node.id not in plan.successors:
        plan.successors[node.id] = _node_after(node, plan)
    return plan.successors[node.id]


def _node_after(node: Node, plan: FlowPlan) -> Node | None:
    parent = node.parent
    if parent is not None and parent.kind not in _IN_ORDER:
        return None
    siblings = (parent.branches if parent is not None else plan.branches).get(node.branch, ())
    place = next((place for place, each in enumerate(siblings) if each is node), len(siblings))
    found = siblings[place + 1] if place + 1 < len(siblings) else None
    return found if found is not None and only_computes(found.task) else None


def with_successor(facts: Facts, job: TaskJob, node: Node, context: Callable[[Node], dict[str, Any]]) -> TaskJob:
    """Return a job with what may be run after it; `context` makes that of a sibling, without the outputs of `node`."""
    plan = facts.plan
    if plan is None or job.value is not None:
        return job
    after = node_after(node, plan)
    if after is None:
        return job
    reached = reach.of(after, facts)
    if reached.named is None or not reached.named.isdisjoint(_ABOUT_RUNS):
        return job
    try:
        given = context(after)
    except Exception:  # a fact that is missing or cannot be had: this task's job must be sent all the same
        return job
    if given["large"]:
        return job
    own = {name: value for name, value in given["context"].items() if name != OWN}
    kept = tuple(name for name, value in own.items() if name in job.context and job.context[name] == value)
    successor = Successor(
        task_id=after.id,
        definition=after.definition,
        context={name: value for name, value in own.items() if name not in kept},
        kept=kept,
        takes_outputs=reached.outputs is None or node.id in reached.outputs,
        log_level=after.task.log_level,
    )
    return replace(job, successor=successor) if _is_small(successor) else job


def _is_small(successor: Successor) -> bool:
    try:
        return len(msgspec.msgpack.encode(successor)) <= BYTES_MAX
    except (TypeError, ValueError, OverflowError, RecursionError):  # said when the task's own turn comes
        return False


def taken_over(draft: Draft, event: TaskFinished) -> Sequence[TaskStarted | TaskFinished]:
    """
    Take the job that a report has answered already out of its draft, and return what a worker would tell of it.

    What it logged and measured is written down. Nothing is returned or changed if no job is the one that was run.
    """
    result = event.successor
    if result is None:
        return ()
    for seq, out in draft.jobs.items():
        job = out.job
        if (
            isinstance(job, TaskJob)
            and (job.task_id, job.attempt, job.value, out.lane) == (result.task_id, 1, None, LANE_DEFAULT)
            and _is_of(job, result)
        ):
            del draft.jobs[seq]
            draft.logs += [replace(line, task_run_id=job.task_run_id) for line in result.lines]
            draft.measurements += [replace(each, task_run_id=job.task_run_id) for each in result.measurements]
            about: dict[str, Any] = {
                "execution_id": event.execution_id, "seq": seq, "attempt": job.attempt, "worker": event.worker,
            }  # fmt: skip
            return (
                TaskStarted(at=result.started_at, **about),
                TaskFinished(
                    at=result.ended_at,
                    state=State.SUCCESS,
                    outputs=result.outputs,
                    started_at=result.started_at,
                    **about,
                ),
            )
    return ()


def _is_of(job: TaskJob, result: SuccessorResult) -> bool:
    try:
        return fingerprint(job.definition, job.context) == result.fingerprint
    except (TypeError, ValueError, OverflowError, RecursionError):  # said when the job is sent
        return False
