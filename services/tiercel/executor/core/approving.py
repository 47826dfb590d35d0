"""Approvals: tasks before the pause, the pause until somebody decides or the time is over, tasks after the decision."""

from __future__ import annotations

from typing import Any

from tiercel.executor.core.draft import Draft
from tiercel.executor.core.ending import set_outputs
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Kind, Node
from tiercel.executor.core.rendering import Rendering
from tiercel.messages.execution_event import ReviewRequested
from tiercel.model.duration import later
from tiercel.model.instant import iso_text
from tiercel.model.live import Branch, TimerKind
from tiercel.model.state import State
from tiercel.plugins.core.flow.approval import Approval, Behavior, Decision

_BRANCHES = {Decision.APPROVED: "onApprove", Decision.DENIED: "onDeny", Decision.EXPIRED: ""}
_STATES = {
    Behavior.WARN: State.WARNING,
    Behavior.FAIL: State.FAILED,
    Behavior.SUCCEED: State.SUCCESS,
    Behavior.CANCEL: State.CANCELLED,
    Behavior.KILL: State.KILLED,
}
_LEAVES = frozenset({Behavior.SUCCEED, Behavior.CANCEL, Behavior.KILL})
"""What ends the execution, not the task alone."""


def begin(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """Approve at once where the task says so, else run what comes before the pause."""
    rendering = Rendering(draft, facts, draft.get(seq).run, node)
    outputs = _link(draft, facts)
    if rendering.holds(_task(node).auto_approve):
        _decide(draft, node, seq, Decision.APPROVED, {**outputs, "auto": True})
        return
    if outputs:
        set_outputs(draft, seq, outputs)
    draft.set_branch(seq, Branch(name="onWait", total=len(node.branches["onWait"]), data={"waits_for": "tasks"}))
    draft.ready.append(seq)


def ask(draft: Draft, facts: Facts, seq: int, node: Node) -> bool:
    """Pause when the tasks before the pause are done; tell whether that is now."""
    if draft.branch(seq).data.get("waits_for") != "tasks":
        return False
    task = _task(node)
    rendering = Rendering(draft, facts, draft.get(seq).run, node)
    timeout = rendering.duration(task.timeout, "timeout")
    outputs = _link(draft, facts)
    if timeout is not None:
        due = later(draft.at, timeout)
        draft.set_timer(TimerKind.PAUSE_END, seq, due)
        outputs["due"] = iso_text(due)
    draft.set_branch(seq, Branch(name="", data={"waits_for": "decision", **outputs}))
    draft.turn(seq, State.PAUSED)
    draft.update(paused=draft.head.paused + 1)
    draft.move(State.PAUSED)
    return True


def review(draft: Draft, facts: Facts, event: ReviewRequested) -> None:
    """Take a reviewer's decision for the approval that is named, or for the first that waits."""
    assert facts.plan is not None
    for record in draft.live_runs():
        node = facts.plan.nodes.get(record.run.task_id)
        if (
            node is not None
            and node.kind is Kind.APPROVAL
            and record.run.state is State.PAUSED
            and event.task_run_id in (None, record.run.id)
        ):
            more = {"by": event.by, "comment": event.comment, "inputs": event.inputs}
            told = {name: value for name, value in more.items() if value is not None}
            _wake(draft, record.run.seq, node, Decision(event.decision), {"on": iso_text(draft.at), **told})
            return


def expire(draft: Draft, seq: int, node: Node) -> None:
    """Nobody has decided in time."""
    record = draft.run(seq)
    if record is not None and record.run.state is State.PAUSED:
        _wake(draft, seq, node, Decision.EXPIRED, {"on": iso_text(draft.at)})


def outcome(draft: Draft, facts: Facts, seq: int, node: Node, state: State) -> State:
    """Return the state that the task run ends in; a failure of its tasks is never hidden."""
    decision = draft.branch(seq).data.get("decision")
    if decision is None or state is State.FAILED:
        return state
    task = _task(node)
    name, wanted = {
        Decision.APPROVED: ("approveBehavior", task.approve_behavior),
        Decision.DENIED: ("denyBehavior", task.deny_behavior),
        Decision.EXPIRED: ("expireBehavior", task.expire_behavior),
    }[Decision(decision)]
    rendering = Rendering(draft, facts, draft.get(seq).run, node)
    behavior = rendering.choice(wanted, Behavior, name) or Behavior.CONTINUE
    if behavior is Behavior.CONTINUE:
        return state
    if behavior in _LEAVES:
        draft.leave = _STATES[behavior]
    return _STATES[behavior]


def revived(name: str) -> dict[str, Any]:
    """Return the data of an approval of which history tells only the list of tasks that it ran last."""
    decided = next((decision for decision, branch in _BRANCHES.items() if branch == name), None)
    return {"waits_for": "tasks"} if decided is None else {"decision": str(decided)}


def _wake(draft: Draft, seq: int, node: Node, decision: Decision, outputs: dict[str, Any]) -> None:
    draft.clear_timer(TimerKind.PAUSE_END, seq)
    kept = {name: value for name, value in draft.branch(seq).data.items() if name in ("url", "due")}
    draft.turn(seq, State.RUNNING)
    draft.update(paused=max(0, draft.head.paused - 1))
    _decide(draft, node, seq, decision, {**kept, "auto": False, **outputs})
    if draft.execution.state is State.PAUSED and not draft.head.paused and not draft.head.suspended:
        draft.move(State.RESTARTED)
        draft.move(State.RUNNING)


def _decide(draft: Draft, node: Node, seq: int, decision: Decision, outputs: dict[str, Any]) -> None:
    name = _BRANCHES[decision]
    set_outputs(draft, seq, {"decision": str(decision), **outputs})
    branch = Branch(name=name, total=len(node.branches.get(name, ())), data={"decision": str(decision)})
    draft.set_branch(seq, branch)
    draft.ready.append(seq)


def _task(node: Node) -> Approval:
    assert isinstance(node.task, Approval)
    return node.task


def _link(draft: Draft, facts: Facts) -> dict[str, Any]:
    """Return the address of the execution's page, where the installation knows its own."""
    url = facts.around.kestra.get("url")
    execution = draft.execution
    place = f"{execution.tenant_id}/executions/{execution.namespace}/{execution.flow_id}/{execution.id}"
    return {"url": f"{str(url).rstrip('/')}/ui/{place}"} if url else {}
