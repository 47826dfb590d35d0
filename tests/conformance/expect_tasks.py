"""One entry of `tasks` in an `expect`: which task run it names, and what that must be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.conformance.matchers import match
from tests.conformance.result import LeftOut, Mismatch
from tests.conformance.snapshot import Run, Snapshot
from tests.conformance.values import duration
from tests.conformance.world import World

SELECTORS = ("at", "task", "values", "iteration")
Checker = Callable[[World, Snapshot, Run, Any], Awaitable[None]]


async def check_task(world: World, one: Snapshot, entry: Mapping[str, Any]) -> None:
    """Hold one task run against an entry; the entry's `at`, `task` and `values` name it."""
    run = _selected(one, entry)
    for key, wanted in entry.items():
        if key in SELECTORS and not (key == "iteration" and "task" not in entry):
            continue
        checker = CHECKS.get(key)
        if checker is None:
            raise LeftOut(f"the runner does not know how to check '{key}' of a task run")
        try:
            await checker(world, one, run, wanted)
        except Mismatch as problem:
            raise Mismatch(f"Task run '{run.run.task_id}'{run.values or ''} ({run.state}): {problem}") from None


def _selected(one: Snapshot, entry: Mapping[str, Any]) -> Run:
    if "at" in entry:
        return one.run_at(int(entry["at"]))
    if "iteration" in entry:
        for run in one.runs:
            if run.run.task_id == entry["task"] and run.run.iteration == entry["iteration"]:
                return run
        raise Mismatch(f"There is no task run of '{entry['task']}' in iteration {entry['iteration']}: {one.summary()}")
    return one.run_of(entry["task"], entry.get("values"))


def _claim(holds: bool, sentence: str) -> None:
    if not holds:
        raise Mismatch(sentence)


def _states(run: Run) -> list[str]:
    return [attempt.state.value for attempt in run.run.attempts]


def _history(run: Run) -> list[str]:
    return [change.state.value for change in run.run.attempts[-1].history] if run.run.attempts else []


def _value(name: str, read: Callable[[Run], Any]) -> Checker:
    async def compare(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
        await match(read(run), wanted, world, name)

    return compare


async def _attempts_null(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    # In 2.0 flowables have attempts (README): that 0.21 had none there says nothing else.
    return None


async def _attempts_min(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    _claim(len(run.run.attempts) >= wanted, f"There are {len(run.run.attempts)} attempts, expected at least {wanted}")


async def _attempt_states_start(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    _claim(_states(run)[: len(wanted)] == wanted, f"The attempts are {_states(run)}, expected them to start {wanted}")


async def _outputs(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    await match(run.outputs, wanted, world, "outputs")


async def _outputs_equal(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    await match(run.outputs, {"equals": wanted}, world, "outputs")


async def _outputs_null(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    _claim((not run.outputs) == bool(wanted), f"The outputs are {run.outputs}")


async def _outputs_not_null(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    # An empty map is not null: 2.0 always has one.
    return None


async def _outputs_keys(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    await match(run.outputs, {"has_keys": wanted}, world, "outputs")


async def _history_counts(world: World, one: Snapshot, run: Run, wanted: Mapping[str, int]) -> None:
    for state, count in wanted.items():
        _claim(run.history.count(state) == count, f"The history is {run.history}, expected {count} times {state}")


async def _history_contains(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    _claim(all(state in run.history for state in wanted), f"The history is {run.history}, expected {wanted} in it")


async def _history_gap(world: World, one: Snapshot, run: Run, wanted: Mapping[str, Any]) -> None:
    dates = [change.date for change in run.run.history if change.state.value == wanted["from_last"]]
    gap = run.ended - dates[-1]
    _claim(gap > duration(wanted["longer_than"]), f"The time since {wanted['from_last']} is {gap}")


async def _log_file(world: World, one: Snapshot, run: Run, wanted: Mapping[str, Any]) -> None:
    uri = run.run.attempts[-1].log_file if run.run.attempts else None
    if uri is None:
        raise LeftOut("Logs go to the repository; a file of logs is not written here.")
    lines = (await world.read_file(uri)).decode().splitlines()
    _claim(len(lines) == wanted.get("lines", len(lines)), f"The log file has {len(lines)} lines")
    if "line_0" in wanted:
        await match(lines[0], wanted["line_0"], world, "line 0")


async def _id_same(world: World, one: Snapshot, run: Run, wanted: str) -> None:
    _claim(run.run.id == wanted, f"The id is {run.run.id}, expected {wanted}")


async def _id_differs(world: World, one: Snapshot, run: Run, wanted: str) -> None:
    _claim(run.run.id != wanted, f"The id is {wanted}, expected another one")


async def _started_after(world: World, one: Snapshot, run: Run, wanted: str) -> None:
    other = one.run_of(wanted)
    _claim(run.started >= other.ended, f"It started at {run.started}, before the end of '{wanted}' at {other.ended}")


async def _started_after_execution(world: World, one: Snapshot, run: Run, wanted: Any) -> None:
    ended = one.execution.history[-1].date
    _claim(run.started >= ended, f"It started at {run.started}, before the end of the execution at {ended}")


CHECKS: dict[str, Checker] = {
    "taskId": _value("taskId", lambda run: run.run.task_id),
    "state": _value("state", lambda run: run.state),
    "iteration": _value("iteration", lambda run: run.run.iteration),
    "attempts": _value("attempts", lambda run: len(run.run.attempts)),
    "attempts_min": _attempts_min,
    "attempts_null": _attempts_null,
    "attempt_states": _value("attempt states", _states),
    "attempt_states_start": _attempt_states_start,
    "last_attempt_state": _value("last attempt", lambda run: _states(run)[-1] if run.run.attempts else None),
    "last_attempt_history": _value("history of the last attempt", _history),
    "outputs": _outputs,
    "outputs_equal": _outputs_equal,
    "outputs_null": _outputs_null,
    "outputs_not_null": _outputs_not_null,
    "outputs_size": _value("size of the outputs", lambda run: len(run.outputs)),
    "outputs_has_keys": _outputs_keys,
    "history_counts": _history_counts,
    "history_size": _value("history size", lambda run: len(run.history)),
    "history_contains": _history_contains,
    "history_gap": _history_gap,
    "log_file": _log_file,
    "id_same_as": _id_same,
    "id_differs_from": _id_differs,
    "started_after_end_of": _started_after,
    "started_after_execution_end": _started_after_execution,
}
