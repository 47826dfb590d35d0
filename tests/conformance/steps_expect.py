"""Steps that look: what an execution, or several, must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.conformance.expect_tasks import check_task
from tests.conformance.matchers import match, short
from tests.conformance.problems import check_status
from tests.conformance.result import LeftOut, Mismatch
from tests.conformance.snapshot import TERMINAL, Snapshot
from tests.conformance.values import build, duration
from tests.conformance.waiting import eventually
from tests.conformance.world import World, verb
from tiercel.model.execution import LogEntry
from tiercel.repository.filter import level_rank

LOOK_S = 0.05
"""Between two checks of what must hold for a while."""


@verb("expect")
async def expect(world: World, body: dict[str, Any]) -> None:
    """Hold an execution against what the case expects."""
    name = body["of"]
    if body.get("exists") is False:
        if await world.engine.snapshot(world.execution_id(name)) is not None:
            raise Mismatch(f"The execution '{name}' exists.")
        return
    if ("as_of" in body or name in world.frozen) and name in world.returned:
        await check(world, world.returned[name], body)
        return
    if "during" in body:
        await _during(world, body["during"], lambda: _check_now(world, name, body))
        return
    await _check_now(world, name, body)


async def _check_now(world: World, name: str, body: Mapping[str, Any]) -> None:
    await check(world, await world.snapshot(name), body)


async def _during(world: World, length: str, attempt: Callable[[], Awaitable[None]]) -> None:
    """Check now, until the time is over and at its end."""
    end = world.engine.now() + duration(length)
    while world.engine.now() < end:
        await attempt()
        await world.engine.sleep(LOOK_S)  # that it holds all the while is what is looked at
    await attempt()


async def check(world: World, one: Snapshot, body: Mapping[str, Any]) -> None:
    """Hold a snapshot against every key of an `expect` body."""
    for key, wanted in body.items():
        if key in ("of", "as_of", "exists", "during", "logs"):
            continue
        checker = CHECKS.get(key)
        if checker is None:
            raise LeftOut(f"the runner does not know how to check '{key}' of an execution")
        try:
            await checker(world, one, wanted)
        except Mismatch as problem:
            raise Mismatch(f"{problem} [{one.summary()}]") from None
    if "logs" in body:
        await eventually(world.engine, lambda: _logs(world, one, body["logs"]))


Checker = Callable[[World, Snapshot, Any], Awaitable[None]]
CHECKS: dict[str, Checker] = {}


def _checks(*names: str) -> Callable[[Checker], Checker]:
    def decorate(function: Checker) -> Checker:
        for name in names:
            CHECKS[name] = function
        return function

    return decorate


def _value(name: str, read: Callable[[Snapshot], Any]) -> None:
    async def compare(world: World, one: Snapshot, wanted: Any) -> None:
        await match(read(one), wanted, world, name)

    CHECKS[name] = compare


_value("state", lambda one: one.state)
_value("task_runs", lambda one: len(one.runs))
_value("outputs", lambda one: one.execution.outputs)
_value("outputs_tree", lambda one: one.outputs_tree)
_value("outputs_tree_size", lambda one: len(one.outputs_tree))
_value("outputs_size", lambda one: len(one.execution.outputs or {}))
_value("inputs", lambda one: one.execution.inputs)
_value("history_size", lambda one: len(one.history))
_value("namespace", lambda one: one.execution.namespace)
_value("flowId", lambda one: one.execution.flow_id)
_value("revision", lambda one: one.execution.flow_revision)
_value("variables", lambda one: one.execution.variables or {})
_value("kind", lambda one: one.execution.kind.value)
_value("id", lambda one: one.id)
_value("attempt_number", lambda one: one.execution.attempt_number)
_value("original_id", lambda one: one.execution.original_id or one.id)
_value("loop", lambda one: one.loop)
_value("trigger", lambda one: one.view["trigger"])
_value("schedule_date", lambda one: one.execution.schedule_date)


def _claim(holds: bool, sentence: str) -> None:
    if not holds:
        raise Mismatch(sentence)


@_checks("state_not")
async def _state_not(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(one.state != wanted, f"The state is {one.state}")


@_checks("is_running")
async def _is_running(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(
        (one.state in ("RUNNING", "KILLING")) == bool(wanted), f"The state is {one.state}, expected running {wanted}"
    )


@_checks("task_runs_min")
async def _task_runs_min(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(len(one.runs) >= wanted, f"There are {len(one.runs)} task runs, expected at least {wanted}")


@_checks("tasks")
async def _tasks(world: World, one: Snapshot, wanted: Any) -> None:
    for entry in wanted:
        await check_task(world, one, entry)


@_checks("task_counts")
async def _task_counts(world: World, one: Snapshot, wanted: Any) -> None:
    for task, count in wanted.items():
        found = sum(1 for run in one.runs if run.run.task_id == task)
        _claim(found == count, f"There are {found} task runs of '{task}', expected {count}")


@_checks("all_task_states")
async def _all_states(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(all(run.state == wanted for run in one.runs), f"Expected every task run to be {wanted}")


@_checks("all_task_states_in")
async def _all_states_in(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(all(run.state in wanted for run in one.runs), f"Expected every task run to be one of {wanted}")


@_checks("task_states_min")
async def _states_min(world: World, one: Snapshot, wanted: Any) -> None:
    counts = Counter(run.state for run in one.runs)
    for state, least in wanted.items():
        _claim(counts[state] >= least, f"{counts[state]} task runs are {state}, expected at least {least}")


@_checks("failed_task_runs_min")
async def _failed_min(world: World, one: Snapshot, wanted: Any) -> None:
    await _states_min(world, one, {"FAILED": wanted})


@_checks("all_tasks")
async def _all_tasks(world: World, one: Snapshot, wanted: Mapping[str, Any]) -> None:
    for run in one.runs:
        if run.run.task_id in wanted.get("except", []):
            continue
        if wanted.get("terminated"):
            _claim(run.state in TERMINAL, f"Task run '{run.run.task_id}' is {run.state}, expected its end")
        if wanted.get("last_attempt_terminated") and run.run.attempts:
            state = run.run.attempts[-1].state.value
            _claim(state in TERMINAL, f"The last attempt of '{run.run.task_id}' is {state}, expected its end")


@_checks("outputs_null")
async def _outputs_null(world: World, one: Snapshot, wanted: Any) -> None:
    _claim((not one.execution.outputs) == bool(wanted), f"The outputs are {one.execution.outputs}")


@_checks("inputs_has_keys")
async def _inputs_keys(world: World, one: Snapshot, wanted: Any) -> None:
    await match(one.execution.inputs or {}, {"has_keys": wanted}, world, "inputs")


@_checks("labels")
async def _labels(world: World, one: Snapshot, wanted: Mapping[str, Any]) -> None:
    labels = dict(one.labels)
    for key, value in wanted.get("contains", {}).items():
        _claim(labels.get(key) == str(value), f"Label '{key}' is {labels.get(key)!r}, expected {value!r}")
    for key, value in wanted.get("not_contains", {}).items():
        _claim(labels.get(key) != str(value), f"Label '{key}' is {value!r}")
    if "exactly" in wanted:
        exactly = {key: str(value) for key, value in wanted["exactly"].items()}
        _claim(labels == exactly, f"The labels are {short(labels)}, expected exactly {short(exactly)}")
    if "count" in wanted:
        _claim(len(one.labels) == wanted["count"], f"There are {len(one.labels)} labels: {short(one.labels)}")
    if "in_order" in wanted:
        pairs = [tuple(pair) if isinstance(pair, list) else next(iter(pair.items())) for pair in wanted["in_order"]]
        found = [pair for pair in one.labels if pair in pairs]
        _claim(found == pairs, f"The labels are {short(one.labels)}, expected {short(pairs)} in this order")
    if "all_keys" in wanted:
        await match(list(labels), wanted["all_keys"], world, "label keys")


@_checks("history_starts")
async def _history_starts(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(one.history[: len(wanted)] == wanted, f"The history is {one.history}, expected it to start {wanted}")


@_checks("history_contains")
async def _history_contains(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(all(state in one.history for state in wanted), f"The history is {one.history}, expected {wanted} in it")


@_checks("history_not_contains")
async def _history_lacks(world: World, one: Snapshot, wanted: Any) -> None:
    _claim(not any(state in one.history for state in wanted), f"The history is {one.history}, expected no {wanted}")


@_checks("parent")
async def _parent(world: World, one: Snapshot, wanted: Any) -> None:
    expected = None if wanted is None else world.execution_id(wanted)
    parent = one.execution.parent_id
    _claim(parent == expected, f"The parent is {parent}, expected {expected}")


@_checks("same_id")
async def _same_id(world: World, one: Snapshot, wanted: str) -> None:
    _claim(one.id == world.execution_id(wanted), f"The id is {one.id}, expected that of '{wanted}'")


@_checks("different_id")
async def _different_id(world: World, one: Snapshot, wanted: str) -> None:
    _claim(one.id != world.execution_id(wanted), f"The id is that of '{wanted}'")


@_checks("start_date_differs_from")
async def _start_differs(world: World, one: Snapshot, wanted: str) -> None:
    other = await world.snapshot(wanted)
    _claim(one.execution.history[0].date != other.execution.history[0].date, "The start dates are the same")


async def _logs(world: World, one: Snapshot, wanted: Any) -> None:
    lines = await world.engine.logs(one.id)
    for entry in wanted:
        found = [line for line in lines if _in_scope(one, line, entry) and _is_line(line, entry)]
        if entry.get("last"):
            scope = [line for line in lines if _in_scope(one, line, entry)]
            found = [line for line in scope[-1:] if _is_line(line, entry)]
        count = entry.get("count")
        good = len(found) == count if count is not None else bool(found)
        texts = short([f"{line.level} {line.task_id}: {line.message}" for line in lines])
        _claim(good, f"{len(found)} log lines are {short(entry)}; the lines are {texts}")


def _in_scope(one: Snapshot, line: LogEntry, entry: Mapping[str, Any]) -> bool:
    if "task" in entry:
        return line.task_run_id == one.run_of(entry["task"]).run.id
    if "task_at" in entry:
        return line.task_run_id == one.run_at(entry["task_at"]).run.id
    return True


def _is_line(line: LogEntry, entry: Mapping[str, Any]) -> bool:
    parts = entry.get("contains", [])
    return (
        ("level" not in entry or line.level == entry["level"])
        and ("equals" not in entry or line.message == entry["equals"])
        and all(part in line.message for part in (parts if isinstance(parts, list) else [parts]))
        and ("starts_with" not in entry or line.message.startswith(entry["starts_with"]))
        and ("ends_with" not in entry or line.message.endswith(entry["ends_with"]))
    )


@verb("expect_executions")
async def expect_executions(world: World, body: dict[str, Any]) -> None:
    """Hold several executions against what the case expects."""
    if "during" in body:
        await _during(world, body["during"], lambda: _check_all(world, body))
    else:
        # Which executions a flow has is read from the history, which is written a moment later.
        await eventually(world.engine, lambda: _check_all(world, body))


async def _listed(world: World, body: Mapping[str, Any]) -> list[Snapshot]:
    if "of" in body:
        return [await world.read(one.id) for one in world.names.aliases[body["of"]]]
    if "flow" not in body:
        return [await world.read(one.id) for one in await world.engine.executions()]
    namespace, _, flow_id = str(body["flow"]).partition("/")
    return [await world.read(one.id) for one in await world.engine.executions(namespace, flow_id)]


async def _check_all(world: World, body: Mapping[str, Any]) -> None:
    found = await _listed(world, body)
    states = [one.state for one in found]
    if "count" in body:
        _claim(len(found) == body["count"], f"There are {len(found)} executions, expected {body['count']}")
    if "states_in_any_order" in body:
        wanted = sorted(body["states_in_any_order"])
        _claim(sorted(states) == wanted, f"The states are {states}, expected {wanted} in any order")
    if "states_contain" in body:
        _claim(all(state in states for state in body["states_contain"]), f"The states are {states}")
    if "all_successful_count" in body:
        _claim(states.count("SUCCESS") == body["all_successful_count"], f"The states are {states}")
    if "last" in body:
        await check(world, found[-1], body["last"])
    for one in found if "all" in body else ():
        await check(world, one, _of_this(world, one, body["all"]))
    for claim in body.get("some", []):
        await _check_some(world, found, claim)
    runs = [run for one in found for run in one.runs]
    if "task_runs_total" in body:
        _claim(len(runs) == body["task_runs_total"], f"There are {len(runs)} task runs in all")
    for task, count in body.get("task_counts_total", {}).items():
        total = sum(1 for run in runs if run.run.task_id == task)
        _claim(total == count, f"There are {total} task runs of '{task}' in all, expected {count}")


async def _check_some(world: World, found: list[Snapshot], claim: Mapping[str, Any]) -> None:
    body = {key: value for key, value in claim.items() if key != "count"}
    met = 0
    last = ""
    for one in found:
        try:
            await check(world, one, _of_this(world, one, body))
            met += 1
        except Mismatch as problem:
            last = str(problem)
    good = met == claim["count"] if "count" in claim else met > 0
    _claim(good, f"{met} of {len(found)} executions are {short(body)}; {last}")


def _of_this(world: World, one: Snapshot, body: Mapping[str, Any]) -> dict[str, Any]:
    """Fill `${this…}` with the execution in question."""
    world.names.aliases["this"] = one
    try:
        filled: dict[str, Any] = build(world.names.fill(dict(body)), world.folder)
    finally:
        del world.names.aliases["this"]
    return filled


@verb("expect_deleted")
async def expect_deleted(world: World, body: dict[str, Any]) -> None:
    """Look that an execution is gone, and what is left of its logs."""
    execution_id = world.execution_id(body["execution"])

    async def attempt() -> None:
        _claim(await world.engine.snapshot(execution_id) is None, f"The execution {execution_id} is there.")
        least = level_rank(body.get("logs_min_level", "TRACE"))
        count = sum(1 for line in await world.engine.logs(execution_id) if level_rank(line.level) >= least)
        _claim(count == body.get("logs_count", count), f"{count} log lines are left, expected {body.get('logs_count')}")

    await eventually(world.engine, attempt)


@verb("expect_concurrency")
async def expect_concurrency(world: World, body: dict[str, Any]) -> None:
    """Look how many executions of a flow hold a slot."""
    namespace, _, flow_id = str(body["flow"]).partition("/")

    async def attempt() -> None:
        scope_id = f"scope/{world.engine.tenant}/{namespace}/{flow_id}"
        scopes = await world.engine.statestore.scopes([scope_id])
        holders = len(scopes[scope_id].holders) if scope_id in scopes else 0
        _claim(holders == body.get("running", holders), f"{holders} executions hold a slot, expected {body}")

    await eventually(world.engine, attempt)


@verb("expect_graph")
async def expect_graph(world: World, body: dict[str, Any]) -> None:
    """Ask for the graph of an execution's flow and count what it has."""
    execution_id = world.execution_id(body["execution"])
    query = {"subflows": body.get("expanded", [])}
    response = await world.engine.http.get(f"/api/v1/main/executions/{execution_id}/graph", params=query)
    check_status(response, "ok")
    graph = response.json()
    for name in ("nodes", "edges", "clusters"):
        count = len(graph.get(name, []))
        _claim(count == body.get(name, count), f"The graph has {count} {name}, expected {body.get(name)}")
