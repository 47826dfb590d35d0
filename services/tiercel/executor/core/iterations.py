"""
Loop: each iteration is an execution of its own, a child of the loop's execution.

A child runs the tasks of the loop only (`FlowPlan.inside`). Its id is a function of the loop's task run and its index,
and what has become of the children is kept in ranges of indices: a loop over a hundred thousand values holds no list of
its children. Iterations are started in chunks; the loop sends itself an event to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from tiercel.errors import ExpressionError
from tiercel.executor.core import intervals, iteration_control, loops
from tiercel.executor.core.claims import checked_in
from tiercel.executor.core.context import item_of
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import guess, keep_outputs, set_outputs
from tiercel.executor.core.facts import Facts, Missing, Want
from tiercel.executor.core.plan import Node
from tiercel.executor.core.rendering import Rendering
from tiercel.messages.execution_event import ChildEnded, CreateExecution, RestartRequested
from tiercel.model.execution import ExecutionKind, LoopItem, LoopRun, OutputRef, ParentTask
from tiercel.model.live import Branch, OutputKind, OutputRecord
from tiercel.model.state import State
from tiercel.plugins.core.flow.loop import FetchType, Loop

WINDOW: Final = 500
"""Rows of a file of values that are asked for at a time."""
CHUNK_BYTES: Final = 4 << 20
"""An event that has started iterations with values of so many characters starts no more: they are sent in one go."""
PAGE_COUNT: Final = 50
PAGE_BYTES: Final = 16_384
"""What the loop's own record, which every event saves, holds of its outputs; more go to a page."""
ENDED_BADLY: Final = frozenset({State.FAILED, State.KILLED, State.CANCELLED})


def begin(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """Find the values, or open the iterations of a restarted loop again that have not ended well."""
    record = draft.get(seq)
    if record.branch is not None and record.branch.data.get("of") == record.run.id:
        reopen(draft, seq, record.branch)
        return
    task = node.task
    assert isinstance(task, Loop)
    rendering = Rendering(draft, facts, record.run, node)
    found = rendering.value(task.values)
    data: dict[str, Any] = {"of": record.run.id}
    uri = found.strip() if isinstance(found, str) else ""
    if uri.startswith("kestra://"):
        data["uri"] = uri
        total = facts.ask("row_count", uri)
    else:
        values = _values_of(found)
        data["keyed"] = isinstance(values, Mapping)
        texts = [_pair(key, value) for key, value in values.items()] if isinstance(values, Mapping) else values
        total = len(texts)
        data |= loops.beside(draft, facts, seq, texts)
    draft.set_branch(seq, Branch(total=total if node.branches["tasks"] else 0, data=data))


def _values_of(found: Any) -> list[str] | dict[str, str]:
    """Return values as text (objects as JSON), each once, in order; by key when they are a map."""
    shown = str(found)[:200]
    if isinstance(found, str):
        with suppress(ValueError):
            found = msgspec.json.decode(found.encode())
    if isinstance(found, Mapping):
        return {str(key): _text(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return list(dict.fromkeys(_text(value) for value in found))
    raise ExpressionError(
        f"The values of a Loop must be a list, a map, or an expression that gives one or the URI of a file, "
        f"but they are '{shown}'."
    )


def _text(value: Any) -> str:
    if value is None:
        raise ExpressionError("Found a null value inside the iteration values; every value must be something.")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _pair(key: str, value: str) -> str:
    return msgspec.json.encode([key, value]).decode()


def _item(draft: Draft, facts: Facts, seq: int, index: int) -> LoopItem:
    """Return an iteration's index, key and value."""
    data = draft.branch(seq).data
    if "uri" in data:
        rows: list[str] = facts.ask("rows", data["uri"], index // WINDOW)
        return LoopItem(index=index, value=rows[index % WINDOW])
    text = loops.values(draft, facts, seq)[index]
    if not data.get("keyed"):
        return LoopItem(index=index, value=text)
    key, value = msgspec.json.decode(text)
    return LoopItem(index=index, key=key, value=value)


def reopen(draft: Draft, seq: int, branch: Branch) -> None:
    """Count anew: what has ended well stays, every other iteration that was started is run again."""
    well = intervals.without(branch.data.get("ended", []), branch.data.get("bad", []))
    again = intervals.without([[0, branch.next]] if branch.next else [], well)
    data = {key: value for key, value in branch.data.items() if key not in ("paused", "bad", "kill")}
    draft.set_branch(
        seq,
        replace(
            branch,
            live=0,
            ended=intervals.size(well),
            failed=0,
            killed=0,
            data={**data, "ended": well, "again": again},
        ),
    )


def advance(draft: Draft, facts: Facts, seq: int, node: Node) -> State | None:
    """Start what may be started now; return the loop's final state when it is over."""
    task = node.task
    assert isinstance(task, Loop)
    while _may_start(draft, facts, seq, task):
        start_next(draft, seq, lambda index: _create(draft, facts, seq, node, index))
    branch = draft.branch(seq)
    broken = task.transmit_failed and (branch.failed or branch.killed)
    due = branch.next if branch.data.get("left") else branch.total
    over = broken or (branch.ended >= due and branch.live <= 0)
    _show(draft, facts, seq, over=bool(over))
    if not over:
        return None
    return guess(branch) if task.transmit_failed else State.SUCCESS


def _may_start(draft: Draft, facts: Facts, seq: int, task: Loop) -> bool:
    branch = draft.branch(seq)
    if task.transmit_failed and (branch.failed or branch.killed):
        return False
    if (branch.next >= branch.total or branch.data.get("left")) and not branch.data.get("again"):
        return False
    if branch.live >= (task.concurrency_limit or facts.around.jobs_max):
        return False
    return has_room(draft, facts, seq)


def has_room(draft: Draft, facts: Facts, seq: int) -> bool:
    """Tell whether the event may start another iteration; one of its own goes on with the loop when not."""
    if draft.started >= facts.around.chunk or draft.started_bytes >= CHUNK_BYTES:
        iteration_control.go_on_later(draft, seq)
        return False
    return True


def start_next(draft: Draft, seq: int, create: Callable[[int], CreateExecution]) -> None:
    """Start the next iteration: one that is run again, or a new one."""
    branch = draft.branch(seq)
    run = draft.get(seq).run
    draft.started += 1
    again = intervals.smallest(branch.data.get("again", []))
    if again is not None:
        data = {**branch.data, "again": intervals.remove(branch.data["again"], again)}
        draft.set_branch(seq, replace(branch, live=branch.live + 1, data=data))
        child = iteration_control.child_id(run, again)
        iteration_control.send(draft, RestartRequested(execution_id=child, at=draft.at))
        return
    iteration_control.send(draft, create(branch.next))
    draft.set_branch(seq, replace(branch, live=branch.live + 1, next=branch.next + 1))


def _create(draft: Draft, facts: Facts, seq: int, node: Node, index: int) -> CreateExecution:
    execution = draft.execution
    run = draft.get(seq).run
    loop_run = _loop_run(draft, facts, seq, node, index)
    draft.started_bytes += len(loop_run.value)
    return CreateExecution(
        execution_id=iteration_control.child_id(run, index),
        at=draft.at,
        tenant_id=execution.tenant_id,
        namespace=execution.namespace,
        flow_id=execution.flow_id,
        flow_revision=execution.flow_revision,
        inputs=execution.inputs,
        labels=execution.labels,
        variables=execution.variables,
        unset_variables=execution.unset_variables,
        trigger=execution.trigger,
        parent=ParentTask(execution_id=execution.id, seq=seq, attempt=run.attempt, iteration=index),
        parent_id=execution.id,
        kind=ExecutionKind.LOOP,
        fixtures=execution.fixtures,
        breakpoints=execution.breakpoints,
        loop_run=loop_run,
    )


def _loop_run(draft: Draft, facts: Facts, seq: int, node: Node, index: int) -> LoopRun:
    """Return what an iteration is told of the loop."""
    task = node.task
    assert isinstance(task, Loop)
    execution = draft.execution
    around = execution.loop_run
    item = _item(draft, facts, seq, index)
    parents = (
        () if around is None else (*around.parents, LoopItem(index=around.index, key=around.key, value=around.value))
    )
    is_file = "uri" in draft.branch(seq).data
    return LoopRun(
        task_id=node.id,
        task_run_id=draft.get(seq).run.id,
        index=index,
        key=item.key,
        value=item.value,
        parents=parents,
        executions=(*(around.executions if around is not None else ()), execution.id),
        stores=task.fetch_type is FetchType.STORE or (task.fetch_type is FetchType.AUTO and is_file),
    )


def child_ended(draft: Draft, facts: Facts, event: ChildEnded, node: Node) -> None:
    """Count an iteration that has ended, and keep what it gave."""
    if not count(draft, event):
        return
    task = node.task
    assert isinstance(task, Loop)
    if task.outputs and task.fetch_type is not FetchType.NONE and event.outputs is not None:
        _collect(draft, facts, event.seq, node, event.iteration or 0, event.outputs)
    draft.ready.append(event.seq)
    branch = draft.branch(event.seq)
    if task.break_when is not None and not branch.data.get("left") and _breaks(draft, facts, event, node):
        draft.set_branch(event.seq, replace(branch, data={**branch.data, "left": True}))


def _breaks(draft: Draft, facts: Facts, event: ChildEnded, node: Node) -> bool:
    """Tell whether the loop is to begin no more iterations after this one."""
    task = node.task
    assert isinstance(task, Loop)
    ended = {"executionId": event.child_id, "state": str(event.state), "outputs": event.outputs or {}}
    item = item_of(_loop_run(draft, facts, event.seq, node, event.iteration or 0))
    rendering = Rendering(draft, facts, draft.get(event.seq).run, node, item=item, iteration=ended)
    return rendering.holds(task.break_when)


def count(draft: Draft, event: ChildEnded) -> bool:
    """Count an iteration that has ended; False when it is counted already."""
    branch = draft.branch(event.seq)
    index = event.iteration
    data = branch.data
    if index is None or index >= branch.next or intervals.has(data.get("ended", []), index):
        return False
    waited = intervals.has(data.get("again", []), index)
    data = {**data, "ended": intervals.add(data.get("ended", []), index)}
    if waited:
        data["again"] = intervals.remove(data["again"], index)
    if event.state in ENDED_BADLY:
        data["bad"] = intervals.add(data.get("bad", []), index)
    changes: dict[str, Any] = {"live": branch.live - (0 if waited else 1), "ended": branch.ended + 1}
    if event.state is State.FAILED:
        changes["failed"] = branch.failed + 1
    elif event.state is State.WARNING:
        changes["warned"] = branch.warned + 1
    elif event.state in ENDED_BADLY:
        changes["killed"] = branch.killed + 1
    draft.set_branch(event.seq, replace(branch, data=data, **changes))
    iteration_control.resumed(draft, event.seq, index)
    return True


def _collect(draft: Draft, facts: Facts, seq: int, node: Node, index: int, outputs: Mapping[str, Any]) -> None:
    """Keep the outputs of an iteration; a full page leaves the loop's record."""
    item = _item(draft, facts, seq, index)
    shown = {"value": item.value, "iteration": index, **({"key": item.key} if item.key is not None else {})}
    entry = {"item": shown, "outputs": outputs}
    branch = draft.branch(seq)
    page = [*branch.data.get("page", ()), entry]
    size = branch.data.get("page_size", 0) + len(msgspec.json.encode(entry))
    data = {**branch.data, "page": page, "page_size": size}
    if len(page) >= PAGE_COUNT or size >= PAGE_BYTES:
        place = draft.head.next_seq
        draft.update(next_seq=place + 1)
        ref = OutputRef(size=size, value={"page": page})
        draft.outputs.append(OutputRecord(seq=place, task_id=node.id, kind=OutputKind.PAGE, ref=ref))
        data |= {"page": [], "page_size": 0, "paged": intervals.add(branch.data.get("paged", []), place)}
    draft.set_branch(seq, replace(branch, data=data))


def _pages(draft: Draft, facts: Facts, branch: Branch) -> list[Any]:
    """Return the outputs of all iterations, in order of their end."""
    places = list(intervals.members(branch.data.get("paged", [])))
    own = {record.seq: record for record in draft.own_outputs() if record.kind is OutputKind.PAGE}
    wanted = tuple(place for place in places if place not in own)
    saved: dict[int, list[Any]] = {}
    if wanted:
        known = facts.known.get(Want("pages", wanted))
        if known is None:
            raise Missing(Want("pages", wanted))
        saved = {record.seq: (record.ref.value or {})["page"] for record in known}
    saved |= {place: (record.ref.value or {})["page"] for place, record in own.items()}
    return [entry for place in places for entry in saved.get(place, ())] + list(branch.data.get("page", ()))


def _show(draft: Draft, facts: Facts, seq: int, *, over: bool) -> None:
    """Set the loop's outputs: its counters, and at its end what its iterations gave."""
    branch = draft.branch(seq)
    outputs: dict[str, Any] = {
        "iterationCount": branch.total,
        "runningIterations": 0 if over else branch.live,
        "terminatedIterations": branch.ended,
    }
    if over and (branch.data.get("page") or branch.data.get("paged")):
        outputs["outputs"] = _pages(draft, facts, branch)
        run = draft.get(seq).run
        ref = checked_in(draft, facts, run, "outputs", outputs)
        draft.put(replace(draft.get(seq), run=keep_outputs(draft, run, ref)))
    else:
        set_outputs(draft, seq, outputs)
