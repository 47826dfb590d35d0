"""
Loops: ForEach and its older kin over values, LoopUntil over time.

A wide loop costs what an event changes, never its width. Children are started in chunks: an event starts so many at
most, and the loop sends itself an event to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tiercel.errors import ExpressionError
from tiercel.executor.core.claims import checked_in
from tiercel.executor.core.context import all_runs
from tiercel.executor.core.draft import Draft, replace
from tiercel.executor.core.ending import decides, set_outputs
from tiercel.executor.core.facts import Facts, Missing, Want
from tiercel.executor.core.plan import Kind, Node
from tiercel.executor.core.rendering import Rendering
from tiercel.expression.printing import java_text
from tiercel.model.duration import format_duration, later
from tiercel.model.execution import TaskRun
from tiercel.model.live import Branch, OutputKind, OutputRecord, TimerKind
from tiercel.model.state import State
from tiercel.plugins.core.flow.each import EachParallel, EachSequential, ForEach
from tiercel.plugins.core.flow.loop import CheckFrequency, LoopUntil

INLINE_VALUES: Final = 2048
"""Values that together are not larger (bytes of JSON) stay in the loop's own record."""
INTERVAL: Final = timedelta(minutes=1)
"""How long a LoopUntil waits between two rounds, unless it says."""
WAIT_FOR: Final = CheckFrequency(max_iterations=100, max_duration="PT1H", interval="PT1S")
"""What a WaitFor does not say (reference 4.5): the type got its newer name and newer defaults together."""


def begin(draft: Draft, facts: Facts, seq: int, node: Node) -> None:
    """Render the values of a loop and keep them beside the execution."""
    total, data = keep_values(draft, facts, seq, node)
    draft.set_branch(seq, Branch(total=total, data=data))


def keep_values(draft: Draft, facts: Facts, seq: int, node: Node) -> tuple[int, dict[str, Any]]:
    """Render the values of a loop; return how many children it has in all, and what its counters note of the values."""
    task = node.task
    assert isinstance(task, ForEach | EachSequential | EachParallel)
    source = task.values if isinstance(task, ForEach) else task.value
    values = values_of(source, Rendering(draft, facts, draft.get(seq).run, node))
    data = beside(draft, facts, seq, values)
    width = len(node.branches["tasks"])
    total = 0 if width == 0 else len(values) * (width if node.kind is Kind.EACH_PARALLEL else 1)
    return total, data


def beside(draft: Draft, facts: Facts, seq: int, values: list[str]) -> dict[str, Any]:
    """Keep the values of a loop: few in its counters, more beside them, many in internal storage."""
    if sum(len(value) for value in values) <= INLINE_VALUES:
        return {"values": values}
    run = draft.get(seq).run
    ref = checked_in(draft, facts, run, "values", {"values": values})
    draft.outputs.append(OutputRecord(seq=seq, task_id=run.task_id, kind=OutputKind.VALUES, ref=ref))
    facts.known[Want("values", (seq,))] = values
    return {}


def values_of(source: Any, rendering: Rendering) -> list[str]:
    """Return the values of a loop as text (objects as JSON), each once, in order."""
    if isinstance(source, str):
        rendered = rendering.text(source) or ""
        try:
            found = msgspec.json.decode(rendered.encode())
        except ValueError as error:
            raise ExpressionError(
                f"The values of a loop must be a JSON array, but '{rendered[:200]}' is not: {error}."
            ) from error
    else:
        found = rendering.value(source)
    if isinstance(found, Mapping):
        found = [{"key": key, "value": value} for key, value in found.items()]
    if not isinstance(found, list | tuple):
        raise ExpressionError(f"The values of a loop must be an array, but they are '{str(found)[:200]}'.")
    nulls = sum(value is None for value in found)
    if nulls:
        raise ExpressionError(f"Found '{nulls}' null values on Each, with values={java_text(found)[:2000]}")
    return list(dict.fromkeys(_as_text(value) for value in found))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def values(draft: Draft, facts: Facts, seq: int) -> list[str]:
    """Return the values of a loop that has begun."""
    inline = draft.branch(seq).data.get("values")
    if inline is not None:
        return inline  # type: ignore[no-any-return]  # a list of texts, as it was put there
    known = facts.known.get(Want("values", (seq,)))
    if known is not None:
        return known  # type: ignore[no-any-return]  # the shell answers `values` with a list of texts
    for record in draft.own_outputs():
        if record.seq == seq and record.kind is OutputKind.VALUES:
            kept: Any = record.ref.value if record.ref.uri is None else facts.ask("large", record.ref.uri)
            return kept["values"]  # type: ignore[no-any-return]  # as above
    raise Missing(Want("values", (seq,)))


def begin_until(draft: Draft, seq: int) -> None:
    """Prepare the first round of a LoopUntil."""
    record = draft.get(seq)
    branch = replace(draft.branch(seq), iteration=1, data=until_begins(draft.at))
    # Task runs inside bear the number of the round; a loop in a loop goes on counting from that of the one around.
    draft.put(replace(record, branch=branch, run=replace(record.run, iteration=record.run.iteration or 0)))
    set_outputs(draft, seq, {"iterationCount": 1})


def begin_until_again(draft: Draft, seq: int) -> None:
    """Prepare a LoopUntil that is restarted itself: its rounds are counted anew, as its time is."""
    branch = draft.branch(seq)
    begun = bool(branch.ended or branch.live)
    draft.set_branch(seq, replace(branch, iteration=0 if begun else 1))
    if not begun:
        set_outputs(draft, seq, {"iterationCount": 1})


def until_begins(at: datetime) -> dict[str, str]:
    """Return what a LoopUntil notes of the time since which its `maxDuration` counts."""
    return {"started": at.isoformat()}


def end_round(draft: Draft, facts: Facts, seq: int, node: Node) -> State | None:
    """
    Decide what follows a round of a LoopUntil: its final state, or None when another round comes.

    The condition sees the outputs of the round that has ended; `iterationCount` is the number of the round that it ends
    in, or that was one too many (reference 4.2).
    """
    task = node.task
    assert isinstance(task, LoopUntil)
    rendering = Rendering(draft, facts, draft.get(seq).run, node)
    if rendering.holds(task.condition):
        return State.SUCCESS
    branch = replace(draft.branch(seq), iteration=draft.branch(seq).iteration + 1)
    draft.set_branch(seq, branch)
    set_outputs(draft, seq, {"iterationCount": branch.iteration})
    maximum = _maximum_reached(draft, branch, task, rendering)
    if maximum is not None:
        return _end_unmet(draft, seq, maximum, fails=rendering.holds(task.fail_on_max_reached))
    interval = rendering.duration(frequency_of(task).interval, "interval")
    wait = INTERVAL if interval is None else max(interval, timedelta())
    draft.set_timer(TimerKind.LOOP_CHECK, seq, later(draft.at, wait))
    draft.set_branch(seq, replace(branch, data={**branch.data, "waits": True}))
    return None


def frequency_of(task: LoopUntil) -> CheckFrequency:
    """Return how often a loop asks, and how long; under its older name the defaults are the older ones, too."""
    given = task.check_frequency
    if not task.type.endswith(".WaitFor"):
        return given
    return CheckFrequency(
        max_iterations=WAIT_FOR.max_iterations if given.max_iterations is None else given.max_iterations,
        max_duration=WAIT_FOR.max_duration if given.max_duration is None else given.max_duration,
        interval=WAIT_FOR.interval if given.interval is None else given.interval,
    )


def _maximum_reached(draft: Draft, branch: Branch, task: LoopUntil, rendering: Rendering) -> str | None:
    """Return the bound that keeps a LoopUntil from another round, None when none does."""
    frequency = frequency_of(task)
    most = rendering.number(frequency.max_iterations, "maxIterations")
    if most is not None and branch.iteration > most:
        return f"'maxIterations' of {most}"
    longest = rendering.duration(frequency.max_duration, "maxDuration")
    started = datetime.fromisoformat(branch.data["started"])
    if longest is not None and draft.at >= later(started, longest):
        return f"'maxDuration' of {format_duration(longest)}"
    return None


def _end_unmet(draft: Draft, seq: int, maximum: str, *, fails: bool) -> State:
    """Return the state of a LoopUntil whose condition has not come true; a failure says why."""
    if not fails:
        return State.SUCCESS
    record = draft.get(seq)
    reason = f"The condition has not come true within {maximum}, and 'failOnMaxReached' is set."
    draft.put(replace(record, run=replace(record.run, error=reason)))
    draft.log("ERROR", reason, record.run)
    return State.FAILED


def next_round(draft: Draft, facts: Facts, seq: int) -> None:
    """Begin another round of a LoopUntil; the task runs of the round before are forgotten."""
    forget_children(draft, facts, seq)
    branch = draft.branch(seq)
    data = {key: value for key, value in branch.data.items() if key != "waits"}
    draft.set_branch(seq, replace(branch, next=0, live=0, ended=0, warned=0, data=data))
    record = draft.get(seq)
    draft.put(replace(record, run=replace(record.run, iteration=(record.run.iteration or 0) + 1)))
    draft.ready.append(seq)


def forget_children(draft: Draft, facts: Facts, seq: int) -> None:
    """Remove all task runs inside a flowable that begins anew, with what they put out."""
    _forget(draft, facts, lambda run: run.parent == seq)


def forget_further(draft: Draft, facts: Facts, seq: int) -> None:
    """Remove the task runs of the `errors` and `finally` of a flowable whose failed task is tried again."""
    _forget(draft, facts, lambda run: run.parent == seq and not decides(facts.node_of(run.task_id)))


def _forget(draft: Draft, facts: Facts, is_gone: Callable[[TaskRun], bool]) -> None:
    gone: set[int] = set()
    for record in all_runs(draft, facts):
        if is_gone(record.run) or record.run.parent in gone:
            gone.add(record.run.seq)
    draft.removed.extend(sorted(gone))
    draft.removed_outputs.extend(sorted(gone))
