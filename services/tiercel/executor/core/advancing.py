"""
What comes next below a flowable, or below the execution itself: children, another phase, or the end.

`settle` is the loop that brings an execution to rest after an event: it looks at each flowable on the draft's list
until the list is empty. Every rule works on counters; none looks at siblings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.errors import FlowAuthorError
from tiercel.executor.core import (
    approving,
    finishing,
    foreach_item,
    interrupting,
    iteration_control,
    iterations,
    loops,
    retrying,
)
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import guess, list_of
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import ROOT, Kind, Node
from tiercel.executor.core.starting import end, end_flowable, fail, start_child
from tiercel.model.live import Branch, Phase
from tiercel.model.state import State
from tiercel.plugins.core.flow.each import EachParallel, EachSequential, ForEach
from tiercel.plugins.core.flow.parallel import Dag, Parallel
from tiercel.plugins.core.flow.sequential import AllowFailure


def settle(draft: Draft, facts: Facts) -> None:
    """Look at every flowable whose children have changed, until none is left."""
    while draft.ready or draft.pending_starts or draft.leave is not None or _wakes(draft, facts):
        if draft.leave is not None:
            finishing.leave(draft, facts)
        elif draft.pending_starts:
            seq, child = draft.pending_starts.pop()
            start_child(draft, facts, seq, child)
        else:
            seq = draft.ready.pop()
            if seq == ROOT:
                _advance_root(draft, facts)
            else:
                _advance_flowable(draft, facts, seq)


def _wakes(draft: Draft, facts: Facts) -> bool:
    """
    Put a flowable that waits for room among the jobs on the list, when there is some; the longest waiting first.

    One at a time: a thousand of them would be looked at in vain for each job that ends.
    """
    if not draft.exists or not draft.head.stalled or draft.head.suspended:
        return False
    first, *rest = draft.head.stalled
    if draft.head.waiting >= facts.around.jobs_max:
        return False
    if draft.started >= facts.around.chunk:
        iteration_control.go_on_later(draft, first)
        return False
    draft.update(stalled=tuple(rest))
    draft.ready.append(first)
    return True


def _advance_flowable(draft: Draft, facts: Facts, seq: int) -> None:
    record = draft.run(seq)
    if record is None or record.folded or record.run.state.is_terminated or record.run.state is State.RETRYING:
        return
    assert facts.plan is not None
    node = facts.plan.nodes[record.run.task_id]
    if not node.kind.has_children and record.branch is None:
        return
    if node.kind.iterates:
        # One that is paused because an iteration is goes on with the others.
        _advance_loop(draft, facts, seq, node)
        return
    if record.run.state is State.PAUSED and not (record.branch is not None and record.branch.data.get("resumed")):
        return
    branch = draft.branch(seq)
    if draft.head.kill_requested:
        if branch.live <= 0 and branch.behind <= 0:
            end_flowable(draft, seq, node, State(draft.head.final or State.KILLED))
        return
    if _stalls(draft, seq):
        return
    try:
        finished = _work(draft, facts, seq, node.branches, node)
        if finished:
            _finish_flowable(draft, facts, seq, node)
    except FlowAuthorError as error:
        fail(draft, facts, seq, node, str(error))


def _advance_loop(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    if draft.head.kill_requested:
        if iteration_control.kill_on(draft, facts, seq):
            end_flowable(draft, seq, node, State(draft.head.final or State.KILLED))
        return
    if _stalls(draft, seq):
        return
    try:
        work = iterations.advance if node.kind is Kind.LOOP else foreach_item.advance
        state = work(draft, facts, seq, node)
        if state is not None:
            iteration_control.wake(draft, seq)
            end(draft, seq, node, state)
    except FlowAuthorError as error:
        fail(draft, facts, seq, node, str(error))


def _advance_root(draft: Draft, facts: Facts) -> None:
    assert facts.plan is not None
    head = draft.head
    branch = head.branch
    if branch.phase is Phase.AFTER:
        _in_order(draft, facts, ROOT, tuple(facts.plan.nodes[name] for name in branch.data.get("after", ())))
        if draft.branch(ROOT).live <= 0 and draft.branch(ROOT).next >= draft.branch(ROOT).total:
            finishing.after_done(draft)
        return
    if draft.execution.state.is_terminated:
        return
    if head.kill_requested:
        if branch.live <= 0 and branch.behind <= 0:
            finishing.finish(draft, facts, State(head.final or State.KILLED))
        return
    if draft.execution.state in (State.CREATED, State.QUEUED) or head.reopen is not None or _stalls(draft, ROOT):
        return
    if _work(draft, facts, ROOT, facts.plan.branches, None) and draft.leave is None:
        finishing.finish(draft, facts, guess(draft.branch(ROOT)))


def _stalls(draft: Draft, seq: int) -> bool:
    """Note a flowable that may not go on while a person has paused the execution; tell whether that is so."""
    head = draft.head
    if not head.suspended:
        return False
    if seq not in head.stalled:
        draft.update(stalled=(*head.stalled, seq))
    return True


def _work(draft: Draft, facts: Facts, seq: int, lists: Mapping[str, tuple[Node, ...]], node: Node | None) -> bool:
    """Start what comes next; return True when nothing is left in any phase."""
    while True:
        branch = draft.branch(seq)
        if branch.phase is Phase.TASKS and not branch.failed:
            _start_tasks(draft, facts, seq, lists.get(branch.name, ()), node)
        elif branch.phase is not Phase.TASKS:
            _in_order(draft, facts, seq, lists.get(list_of(branch), ()))
        if branch.phase is Phase.TASKS:
            interrupting.end_siblings(draft, facts, seq, node)
        branch = draft.branch(seq)
        if branch.live > 0:
            if branch.phase is Phase.TASKS and branch.failed and lists.get("errors"):
                _enter(draft, seq, Phase.ERRORS, lists)
                continue
            return False
        if branch.phase is Phase.TASKS and not branch.failed and _open(branch):
            return False
        if branch.phase is Phase.TASKS and branch.failed and lists.get("errors"):
            _enter(draft, seq, Phase.ERRORS, lists)
            continue
        if branch.phase in (Phase.TASKS, Phase.ERRORS):
            if branch.behind > 0:
                return False
            if branch.phase is Phase.TASKS and not branch.failed:
                if _rounds(draft, facts, seq, node):
                    return False
                if draft.branch(seq).failed and lists.get("errors"):
                    _enter(draft, seq, Phase.ERRORS, lists)
                    continue
            if lists.get("finally"):
                _enter(draft, seq, Phase.FINALLY, lists)
                continue
        return branch.behind <= 0


def _open(branch: Branch) -> bool:
    return branch.next < branch.total or bool(branch.data.get("pending")) or bool(branch.data.get("waits"))


def _enter(draft: Draft, seq: int, phase: Phase, lists: Mapping[str, tuple[Node, ...]]) -> None:
    if seq != ROOT and draft.get(seq).run.state is State.PAUSED:
        # The pause is over: the next resume is for another one.
        draft.turn(seq, State.RUNNING)
    branch = draft.branch(seq)
    draft.set_branch(
        seq,
        replace(
            branch,
            phase=phase,
            next=0,
            ended=0,
            live=0,
            total=len(lists[phase.value]),
            behind=branch.behind + branch.live,
        ),
    )


def _in_order(draft: Draft, facts: Facts, seq: int, nodes: tuple[Node, ...]) -> None:
    """Start the next child of a list, one at a time."""
    branch = draft.branch(seq)
    while branch.live <= 0 and branch.next < len(nodes) and draft.leave is None:
        _start(draft, facts, seq, nodes[branch.next], branch)
        branch = draft.branch(seq)


def _start(
    draft: Draft,
    facts: Facts,
    seq: int,
    node: Node,
    branch: Branch,
    value: str | None = None,
    iteration: int | None = None,
    step: int = 1,
) -> None:
    draft.set_branch(seq, replace(branch, next=branch.next + step, live=branch.live + 1))
    draft.started += 1
    start_child(draft, facts, seq, node, value=value, iteration=iteration)


def _start_tasks(draft: Draft, facts: Facts, seq: int, nodes: tuple[Node, ...], node: Node | None) -> None:
    kind = Kind.SEQUENTIAL if node is None else node.kind
    match kind:
        case Kind.PARALLEL:
            assert node is not None
            _in_parallel(draft, facts, seq, nodes, node)
        case Kind.DAG:
            assert node is not None
            _in_dag(draft, facts, seq, nodes, node)
        case Kind.FOR_EACH:
            assert node is not None
            _for_each(draft, facts, seq, nodes, node)
        case Kind.EACH_PARALLEL:
            assert node is not None
            _each_parallel(draft, facts, seq, nodes, node)
        case Kind.LOOP_UNTIL:
            _in_order_unless_failed(draft, facts, seq, nodes, draft.get(seq).run.iteration)
        case _:
            _in_order_unless_failed(draft, facts, seq, nodes)


def _in_order_unless_failed(
    draft: Draft, facts: Facts, seq: int, nodes: tuple[Node, ...], iteration: int | None = None
) -> None:
    branch = draft.branch(seq)
    while branch.live <= 0 and branch.next < len(nodes) and not branch.failed and draft.leave is None:
        _start(draft, facts, seq, nodes[branch.next], branch, iteration=iteration)
        branch = draft.branch(seq)


def _may_start(draft: Draft, facts: Facts, seq: int, limit: int | None) -> bool:
    """
    Tell whether a loop may start another child now; see to it that it is asked again when not.

    `limit` is how many children it may have at a time: 0 as many as there may be jobs, None for a child of a group that
    counts already.
    """
    branch = draft.branch(seq)
    if branch.failed or draft.leave is not None:
        return False
    if limit is not None and branch.live + len(branch.data.get("pending", ())) >= (limit or facts.around.jobs_max):
        return False
    head = draft.head
    if head.waiting >= facts.around.jobs_max:
        if seq not in head.stalled:
            draft.update(stalled=(*head.stalled, seq))
        return False
    if draft.started >= facts.around.chunk:
        iteration_control.go_on_later(draft, seq)
        return False
    return True


def _limit(branch: Branch, task: Parallel | Dag) -> int:
    """Return how many children there may be at a time: as written, or as it was rendered in the beginning."""
    return task.concurrent if isinstance(task.concurrent, int) else branch.data.get("limit", 0)


def _in_parallel(draft: Draft, facts: Facts, seq: int, nodes: tuple[Node, ...], node: Node) -> None:
    assert isinstance(node.task, Parallel)
    branch = draft.branch(seq)
    limit = _limit(branch, node.task)
    while branch.next < len(nodes) and _may_start(draft, facts, seq, limit):
        _start(draft, facts, seq, nodes[branch.next], branch)
        branch = draft.branch(seq)


def _in_dag(draft: Draft, facts: Facts, seq: int, nodes: tuple[Node, ...], node: Node) -> None:
    task = node.task
    assert isinstance(task, Dag)
    needs = _needs(task)
    progress = True
    while progress:
        progress = False
        for child in nodes:
            branch = draft.branch(seq)
            started = branch.data.get("started", [])
            ready = all(need in branch.done for need in needs[child.id])
            if child.id in started or not ready or not _may_start(draft, facts, seq, _limit(branch, task)):
                continue
            branch = replace(branch, data={**branch.data, "started": [*started, child.id]})
            _start(draft, facts, seq, child, branch)
            progress = True


def _needs(task: Dag) -> dict[str, set[str]]:
    """Return what each task of a Dag waits for: in place of a disabled task, what that would have waited for."""
    depends = {entry.task.id: entry.depends_on for entry in task.tasks}
    disabled = {entry.task.id for entry in task.tasks if entry.task.disabled}
    needs: dict[str, set[str]] = {}
    for name, direct in depends.items():
        seen: set[str] = set()
        waiting = list(direct)
        while waiting:
            need = waiting.pop()
            if need in disabled and need not in seen:
                waiting += depends[need]
            seen.add(need)
        needs[name] = seen - disabled
    return needs


def _for_each(draft: Draft, facts: Facts, seq: int, nodes: tuple[Node, ...], node: Node) -> None:
    task = node.task
    assert isinstance(task, ForEach | EachSequential)
    limit = task.concurrency_limit if isinstance(task, ForEach) else 1
    branch = draft.branch(seq)
    # Groups under way first: each is a value whose next task is due.
    while branch.data.get("pending") and _may_start(draft, facts, seq, None):
        (place, iteration, value), *rest = branch.data["pending"]
        branch = replace(branch, data={**branch.data, "pending": rest})
        _start(draft, facts, seq, nodes[place], branch, value, iteration, step=0)
        branch = draft.branch(seq)
    if branch.next >= branch.total:
        return
    values = loops.values(draft, facts, seq)
    while branch.next < branch.total and _may_start(draft, facts, seq, limit):
        _start(draft, facts, seq, nodes[0], branch, values[branch.next], branch.next)
        branch = draft.branch(seq)


def _each_parallel(draft: Draft, facts: Facts, seq: int, nodes: tuple[Node, ...], node: Node) -> None:
    task = node.task
    assert isinstance(task, EachParallel)
    branch = draft.branch(seq)
    if branch.next >= branch.total:
        return
    values = loops.values(draft, facts, seq)
    while branch.next < branch.total and _may_start(draft, facts, seq, task.concurrent):
        iteration, place = divmod(branch.next, len(nodes))
        _start(draft, facts, seq, nodes[place], branch, values[iteration], iteration)
        branch = draft.branch(seq)


def _rounds(draft: Draft, facts: Facts, seq: int, node: Node | None) -> bool:
    """Tell whether a LoopUntil goes on after this round (or an Approval asks now); its outcome is noted when not."""
    if node is not None and node.kind is Kind.APPROVAL:
        return approving.ask(draft, facts, seq, node)
    if node is None or node.kind is not Kind.LOOP_UNTIL or draft.branch(seq).data.get("decided"):
        return False
    state = loops.end_round(draft, facts, seq, node)
    if state is None:
        return True
    branch = draft.branch(seq)
    changes: dict[str, Any] = {"data": {**branch.data, "decided": True}}
    if state is State.FAILED:
        changes["failed"] = branch.failed + 1
    draft.set_branch(seq, replace(branch, **changes))
    return False


def _finish_flowable(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    branch = draft.branch(seq)
    state = guess(branch)
    if draft.leave is None and retrying.retry_held(draft, facts, seq):
        return
    if state is State.FAILED and draft.leave is None and retrying.retry_whole(draft, facts, seq, node):
        return
    if state is State.SUCCESS and retrying.is_warned(node, draft.get(seq).run):
        state = State.WARNING
    if isinstance(node.task, AllowFailure) and state is State.FAILED:
        state = State.WARNING
    if draft.leave is not None:
        # What an Exit stands in ends as the execution does.
        state = draft.leave
    elif node.kind is Kind.APPROVAL:
        state = approving.outcome(draft, facts, seq, node, state)
    expired = branch.data.get("expired")
    if expired is not None and state is State.SUCCESS:
        state = State(expired)
    end(draft, seq, node, state, attempt_over=not node.kind.has_children)
