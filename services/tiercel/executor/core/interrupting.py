"""
Interruption: what still runs below a Parallel or a Dag ends when one of its tasks has failed (`onChildFailure`).

Nobody waits for an answer: the task runs end here, and whoever runs them is told. What they report later is refused by
the table of states. The flowable itself goes on with its `errors` and `finally`.
"""

from __future__ import annotations

from tiercel.executor.core import intervals, iteration_control, killing
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Kind, Node
from tiercel.messages.broadcast import KillRun
from tiercel.messages.execution_event import KillRequested
from tiercel.messages.topics import BROADCAST
from tiercel.model.flow import Dialect
from tiercel.model.live import RunRecord
from tiercel.model.state import State
from tiercel.plugins.core.flow.parallel import Dag, OnChildFailure, Parallel
from tiercel.queue.base import Outgoing


def end_siblings(draft: Draft, facts: Facts, seq: int, node: Node | None) -> None:
    """End what still runs below a flowable of which a task has failed, if it wants that."""
    state = _wanted(facts, node)
    branch = draft.branch(seq)
    if state is None or not branch.failed or branch.live <= 0:
        return
    below = sorted(
        ((depth, record) for record in draft.live_runs() if (depth := _depth(draft, record, seq))),
        key=lambda found: -found[0],
    )
    cause = next((each.run.task_id for each in draft.runs.values() if _has_failed(each, seq)), None)
    sibling = f"sibling task '{cause}'" if cause else "a sibling task"
    reason = f"Task terminated because {sibling} failed."
    _tell(draft, facts, [record for _, record in below])
    for _, record in below:
        found = facts.node_of(record.run.task_id)
        if found is None or not found.kind.has_children:
            draft.log("WARN", reason, record.run)
        killing.end_killed(draft, record.run.seq, found, state)
    # What was cancelled here is no kill of the flowable: it has failed.
    draft.set_branch(seq, replace(draft.branch(seq), killed=branch.killed))
    _go_on(draft)


def _wanted(facts: Facts, node: Node | None) -> State | None:
    """Return the state that interrupted task runs end in; None when they are to go on."""
    if node is None or not isinstance(node.task, Parallel | Dag):
        return None
    wish = node.task.on_child_failure
    if wish is None:
        is_old = facts.plan is not None and facts.plan.flow.dialect is Dialect.V1
        wish = OnChildFailure.CONTINUE if is_old else OnChildFailure.FAILED
    return wish.state


def _depth(draft: Draft, record: RunRecord, seq: int) -> int:
    """Return how far a task run lies below another one: 0 when it does not."""
    depth, above = 1, record.run.parent
    while above is not None and above != seq:
        parent = draft.run(above)
        depth, above = depth + 1, parent.run.parent if parent is not None else None
    return depth if above == seq else 0


def _has_failed(record: RunRecord, parent: int) -> bool:
    return record.run.parent == parent and record.run.state is State.FAILED


def _tell(draft: Draft, facts: Facts, below: list[RunRecord]) -> None:
    """Take back the jobs that nobody has, and have workers and other executions end theirs."""
    jobs = [record.run.seq for record in below if record.run.state is State.SUBMITTED]
    for seq in jobs:
        draft.jobs.pop(seq, None)
    if jobs and draft.revoked != []:
        draft.revoked = [*(draft.revoked or ()), *jobs]
    running = tuple((record.run.seq, record.run.attempt) for record in below if record.worker is not None)
    if running:
        kill = KillRun(execution_id=draft.execution.id, runs=running)
        draft.messages.append(Outgoing(topic=BROADCAST, key="", message=kill))
    for record in below:
        node = facts.node_of(record.run.task_id)
        if node is not None and node.kind is Kind.SUBFLOW and record.child_id is not None:
            iteration_control.send(draft, KillRequested(execution_id=record.child_id, at=draft.at))
        elif node is not None and node.kind.iterates and record.branch is not None:
            # At most as many as an execution may have jobs: the others have not begun.
            for index in intervals.gaps(record.branch.data.get("ended", []), 0, record.branch.next):
                child = iteration_control.child_id(record.run, index)
                iteration_control.send(draft, KillRequested(execution_id=child, at=draft.at))


def _go_on(draft: Draft) -> None:
    """Let an execution that was paused by what is interrupted run again."""
    if draft.execution.state is State.PAUSED and not draft.head.paused and not draft.head.suspended:
        draft.move(State.RESTARTED)
        draft.move(State.RUNNING)
