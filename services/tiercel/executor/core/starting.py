"""
How a task run starts: created below its parent, its condition asked, then begun by its kind.

Nothing here recurses into children: what has children is put on the draft's list of ready flowables.
"""

from __future__ import annotations

from tiercel.errors import ExpressionError, FlowAuthorError
from tiercel.executor.core import (
    approving,
    foreach_item,
    iterations,
    jobs,
    loops,
    pausing,
    retrying,
    routing,
    subflow,
    updates,
)
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import allowed, begin_attempt, count_end, end_attempt, set_outputs
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import ROOT, Kind, Node
from tiercel.executor.core.rendering import Rendering
from tiercel.expression.truth import means_true
from tiercel.model import ids
from tiercel.model.execution import Attempt, TaskFixture, TaskRun
from tiercel.model.live import Branch, RunRecord, TimerKind
from tiercel.model.state import State, StateChange
from tiercel.model.task import Task
from tiercel.plugins.base import FlowableTask
from tiercel.plugins.core.flow.choice import If, Switch
from tiercel.plugins.core.flow.parallel import Dag, Parallel
from tiercel.plugins.core.flow.subflow import Template


def start_child(
    draft: Draft, facts: Facts, parent: int, node: Node, *, value: str | None = None, iteration: int | None = None
) -> None:
    """Create the task run of a child and begin it; the parent's counters know it as live."""
    head = draft.head
    above = None if parent == ROOT else parent
    seq = head.next_seq
    execution = head.execution
    run = TaskRun(
        id=ids.derived_id(draft.at, execution.id, execution.generation, parent, node.id, value or "", seq),
        seq=seq,
        task_id=node.id,
        parent=above,
        value=value,
        iteration=iteration,
        state=State.CREATED,
        history=(StateChange(State.CREATED, draft.at),),
    )
    draft.update(next_seq=seq + 1)
    draft.add(RunRecord(run=run, generation=execution.generation))
    activate(draft, facts, seq, node)


def activate(draft: Draft, facts: Facts, seq: int, node: Node, *, passes: bool = False) -> None:
    """
    Begin a task run that is CREATED or RESTARTED; a task that cannot be begun ends FAILED with the reason.

    At a breakpoint it stops instead, unless it `passes`.
    """
    run = draft.get(seq).run
    if not passes and draft.execution.stops_before(run.task_id, run.value):
        draft.turn(seq, State.BREAKPOINT)
        draft.move(State.BREAKPOINT)
        return
    try:
        if node.task.run_if is not None and not means_true(Rendering(draft, facts, run, node).text(node.task.run_if)):
            end(draft, seq, node, State.SKIPPED)
            return
        fixture = draft.execution.fixture_of(run.task_id, run.value)
        if fixture is not None:
            _pretend(draft, facts, seq, node, fixture)
            return
        _begin(draft, facts, seq, node)
    except FlowAuthorError as error:
        fail(draft, facts, seq, node, str(error))


def _begin(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    match node.kind:
        case Kind.RUNNABLE:
            send(draft, facts, seq, node)
        case Kind.SUBFLOW:
            subflow.begin(draft, facts, seq, node)
            if draft.get(seq).child_id is not None and not node.task.wait:  # type: ignore[attr-defined]  # a Subflow
                end(draft, seq, node, State.SUCCESS)
        case Kind.EXECUTION:
            _running(draft, seq)
            state = updates.apply(draft, facts, seq, node)
            end(draft, seq, node, state)
        case Kind.PAUSE:
            _running(draft, seq)
            pausing.begin(draft, facts, seq, node)
        case Kind.APPROVAL:
            _running(draft, seq)
            approving.begin(draft, facts, seq, node)
        case Kind.LOOP:
            _running(draft, seq)
            iterations.begin(draft, facts, seq, node)
            draft.ready.append(seq)
        case Kind.ITEMS:
            _running(draft, seq)
            foreach_item.begin(draft, facts, seq, node)
            draft.ready.append(seq)
        case Kind.UNKNOWN:
            raise FlowAuthorError(f"Tasks of type '{node.task.type}' cannot be run by this version.")
        case _:
            _running(draft, seq)
            _begin_flowable(draft, facts, seq, node)


def send(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """
    Send a task run to the workers that it is for, or look again later whether there are any.

    Raises FlowAuthorError when there are none, and the task is to fail then.
    """
    try:
        lane = routing.lane_of(draft, facts, draft.get(seq).run, node)
    except routing.NotKnownYet:
        draft.set_timer(TimerKind.CONTINUE, seq, draft.at + routing.ASKED_AGAIN_AFTER)
        return
    if lane is None:
        _running(draft, seq)
        draft.leave = State.CANCELLED
        end(draft, seq, node, State.CANCELLED)
    else:
        jobs.submit(draft, facts, seq, node, lane)


def send_again(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """Send a task run whose worker does not run it any more; without workers for it, its `fallback` decides."""
    try:
        send(draft, facts, seq, node)
    except FlowAuthorError as error:
        fail(draft, facts, seq, node, str(error))


def look_again(draft: Draft, facts: Facts, seq: int) -> None:
    """Begin a task run, or send it again, that waits to know whether a worker is there for it."""
    record = draft.run(seq)
    node = facts.node_of(record.run.task_id) if record is not None else None
    if record is None or node is None:
        return
    state = record.run.state
    if state in (State.CREATED, State.RESTARTED):
        activate(draft, facts, seq, node, passes=True)
    elif record.worker is None and (state is State.RUNNING or record.returned_by is not None):
        send_again(draft, facts, seq, node)


def _pretend(draft: Draft, facts: Facts, seq: int, node: Node, fixture: TaskFixture) -> None:
    """End a task run as a test wants it, without running it."""
    _running(draft, seq)
    if fixture.outputs is not None:
        set_outputs(draft, seq, fixture.outputs)
    end(draft, seq, node, fixture.state)


def _running(draft: Draft, seq: int) -> None:
    draft.turn(seq, State.RUNNING)
    record = draft.get(seq)
    draft.put(replace(record, run=begin_attempt(record.run, draft.at)))


def _begin_flowable(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    task = node.task
    run = draft.get(seq).run
    name = "tasks"
    if isinstance(task, If):
        holds = Rendering(draft, facts, run, node).holds(task.condition)
        name = "then" if holds else "else"
        set_outputs(draft, seq, {"evaluationResult": holds})
    elif isinstance(task, Switch):
        value = Rendering(draft, facts, run, node).text(task.value) or ""
        name = f"cases.{value}" if f"cases.{value}" in node.branches else "defaults"
        if name == "defaults" and not task.defaults:
            raise ExpressionError(
                f"The value '{value}' is none of the cases of Switch '{node.id}', which has no defaults."
            )
        set_outputs(draft, seq, {"value": value, "defaults": name == "defaults"})
    elif isinstance(task, Template):
        if not task.tasks:
            raise ExpressionError(f"Can't find flow template '{task.namespace}.{task.template_id}'")
        set_outputs(draft, seq, {"args": Rendering(draft, facts, run, node).mapping(task.args or {}, "args")})
    elif isinstance(task, FlowableTask) and task.SHOWN:
        set_outputs(draft, seq, {name.rstrip("_"): getattr(task, name) for name in task.SHOWN})
    if node.kind in (Kind.FOR_EACH, Kind.EACH_PARALLEL):
        loops.begin(draft, facts, seq, node)
    else:
        rendered = isinstance(task, Parallel | Dag) and isinstance(task.concurrent, str)
        data = {"limit": _limit(Rendering(draft, facts, run, node), task)} if rendered else {}
        draft.set_branch(seq, Branch(name=name, total=len(node.branches.get(name, ())), data=data))
        if node.kind is Kind.LOOP_UNTIL:
            loops.begin_until(draft, seq)
    draft.ready.append(seq)


def _limit(rendering: Rendering, task: Task) -> int:
    """Return how many children there may be at a time, where that is an expression."""
    assert isinstance(task, Parallel | Dag)
    return rendering.number(task.concurrent, "concurrent") or 0


def fail(draft: Draft, facts: Facts, seq: int, node: Node, reason: str) -> None:
    """End a task run FAILED with a sentence that goes to its log."""
    record = draft.get(seq)
    draft.log("ERROR", reason, record.run)
    run = end_attempt(record.run, State.FAILED, draft.at)
    if node.kind is Kind.EXECUTION:
        # What is applied by the executor has not run for a time: its attempt has failed, and nothing else.
        failed = Attempt(state=State.FAILED, history=(StateChange(State.FAILED, draft.at),))
        run = replace(run, attempts=(*run.attempts[:-1], failed))
    draft.put(replace(record, run=replace(run, error=reason)))
    if node.kind is Kind.SUBFLOW:
        draft.turn(seq, State.RUNNING)
        if retrying.retry(draft, facts, seq, node):
            return
    end(draft, seq, node, State.FAILED, attempt_over=True)


def end(draft: Draft, seq: int, node: Node, state: State, *, attempt_over: bool = False) -> None:
    """End a task run in a state, as its task allows, and have its parent looked at."""
    record = draft.get(seq)
    if not attempt_over:
        draft.put(replace(record, run=end_attempt(record.run, state, draft.at)))
    if draft.turn(seq, allowed(state, node)):
        count_end(draft, draft.get(seq).run, node)


def end_flowable(draft: Draft, seq: int, node: Node, state: State) -> None:
    """End a flowable of an execution that is killed or left early, in the state that the execution ends in."""
    record = draft.get(seq)
    draft.put(replace(record, run=end_attempt(record.run, state, draft.at)))
    if draft.turn(seq, state):
        count_end(draft, draft.get(seq).run, node)
