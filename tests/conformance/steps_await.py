"""Steps that wait: for an execution to become something, and for executions that others make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.equality import same
from tests.conformance.result import Mismatch
from tests.conformance.snapshot import TERMINAL, Snapshot
from tests.conformance.values import duration
from tests.conformance.waiting import AWAIT_TIMEOUT, until
from tests.conformance.world import World, verb
from tiercel.model.execution import Execution
from tiercel.repository.filter import level_rank


@verb("await")
async def await_state(world: World, body: dict[str, Any]) -> None:
    """Wait until an execution is what the step says."""
    execution_id = world.execution_id(body["execution"])
    timeout = body.get("timeout") or AWAIT_TIMEOUT
    what = ", ".join(f"{key} {value}" for key, value in body.items() if key not in ("execution", "timeout"))
    found = await world.wait_for(execution_id, lambda one: _holds(one, body), what, timeout)
    if body.get("terminated"):
        found = await world.wait_ended(execution_id, timeout)
    if "logs_count" in body:
        await _wait_for_logs(world, execution_id, body)
    if body["execution"] in world.names.aliases and not isinstance(world.names.aliases[body["execution"]], list):
        world.remember(body["execution"], found)


def _holds(one: Snapshot, body: Mapping[str, Any]) -> bool:
    attempts = body.get("task_attempts", {})
    labels = dict(one.labels)
    checks = (
        "state" not in body or _is_state(one.state, body["state"]),
        "state_not" not in body or not _is_state(one.state, body["state_not"]),
        "reaches" not in body or body["reaches"] in one.history,
        not body.get("terminated") or one.terminated,
        "task_runs" not in body or len(one.runs) == body["task_runs"],
        "attempt_number" not in body or one.execution.attempt_number == body["attempt_number"],
        all(state in one.history for state in body.get("history_contains", [])),
        all(_attempts(one, task) == count for task, count in attempts.items()),
        "first_task_attempts" not in body
        or bool(one.runs and len(one.runs[0].run.attempts) == body["first_task_attempts"]),
        all(any(run.run.task_id == task and run.state == state for run in one.runs)
            for task, state in body.get("task_states", {}).items()),
        all(labels.get(key) == str(value) for key, value in body.get("labels_contain", {}).items()),
        not any(labels.get(key) == str(value) for key, value in body.get("labels_not_contain", {}).items()),
    )  # fmt: skip
    return all(checks)


def _is_state(state: str, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return state in wanted["any_of"] if "any_of" in wanted else state != wanted.get("not")
    return same(state, wanted)


def _attempts(one: Snapshot, task: str) -> int:
    return next((len(run.run.attempts) for run in one.runs if run.run.task_id == task), 0)


async def _wait_for_logs(world: World, execution_id: str, body: Mapping[str, Any]) -> None:
    least = level_rank(body.get("logs_min_level", "TRACE"))

    async def ask() -> bool | None:
        lines = [line for line in await world.engine.logs(execution_id) if level_rank(line.level) >= least]
        return True if len(lines) >= body["logs_count"] else None

    async def missing() -> str:
        return f"{len(await world.engine.logs(execution_id))} log lines, expected {body['logs_count']}"

    await until(world.engine, ask, body.get("timeout"), missing)


@verb("await_execution")
async def await_execution(world: World, body: dict[str, Any]) -> None:
    """Wait for an execution of a flow that something else has made."""
    found = (await _of_flow(world, body, 1))[0]
    world.seen.add(found.id)
    world.remember(body.get("as", "e"), found)
    world.returned[body.get("as", "e")] = found


@verb("await_executions")
async def await_executions(world: World, body: dict[str, Any]) -> None:
    """Wait for several executions of a flow; the alias lists them in order of their ends."""
    found = await _of_flow(world, body, int(body.get("count", 1)))
    found.sort(key=lambda one: one.execution.history[-1].date)
    world.remember(body.get("as", "all"), found)


async def _of_flow(world: World, body: Mapping[str, Any], count: int) -> list[Snapshot]:
    namespace, _, flow_id = str(body["flow"]).partition("/")
    last: list[Execution] = []

    async def ask() -> list[Snapshot] | None:
        nonlocal last
        last = await world.engine.executions(namespace, flow_id)
        if count == 1 and "count" not in body:
            candidates = [one for one in last if one.id not in world.seen] or last
        else:
            candidates = last
        found = []
        for one in candidates if not body.get("first") else candidates[:1]:
            snapshot = await world.engine.snapshot(one.id)
            if snapshot is not None and await _is_wanted(world, snapshot, body):
                found.append(snapshot)
        return found if len(found) >= count else None

    async def missing() -> str:
        states = ", ".join(f"{one.id} {one.state}" for one in last)
        return f"awaited {count} executions of {body['flow']} ({dict(body)}); there are {len(last)}: {states}"

    return await until(world.engine, ask, body.get("timeout"), missing)


async def _is_wanted(world: World, one: Snapshot, body: Mapping[str, Any]) -> bool:
    if body.get("terminated"):
        head = await world.engine.head(one.id)
        if head is None or not head[1]:
            return False
    if "trigger_id" in body and (one.execution.trigger is None or one.execution.trigger.id != body["trigger_id"]):
        return False
    return "state" not in body or _is_state(one.state, body["state"])


@verb("loop_executions")
async def loop_executions(world: World, body: dict[str, Any]) -> None:
    """List the iterations of a loop: executions of kind LOOP, in order of their index."""
    parents: list[str] = []
    if "of_each" in body:
        parents = [one.id for one in world.names.aliases[body["of_each"]]]
        wanted = body.get("count_each")
    elif body.get("of") is not None:
        parents = [world.execution_id(body["of"])]
        wanted = body.get("count")
    found: list[Snapshot] = []
    for parent in parents:
        found += await _iterations(world, parent, wanted, body)
    if "count" in body and "of_each" in body and len(found) != body["count"]:
        raise Mismatch(f"There are {len(found)} iterations, expected {body['count']}")
    world.remember(body.get("as", "s"), found)


async def _iterations(world: World, parent: str, wanted: int | None, body: Mapping[str, Any]) -> list[Snapshot]:
    last: list[Snapshot] = []

    async def ask() -> list[Snapshot] | None:
        nonlocal last
        found = [await world.read(one.id) for one in await world.engine.executions(parent_id=parent)]
        last = [one for one in found if one.execution.kind.value == "LOOP"]
        if wanted is not None and len(last) != wanted:
            return None
        if body.get("terminated") and not all(one.state in TERMINAL for one in last):
            return None
        return sorted(last, key=lambda one: (one.loop or {}).get("index", 0))

    async def missing() -> str:
        return f"{len(last)} iterations of {parent}, expected {wanted}; {await world.describe(parent, 'iterations')}"

    return await until(world.engine, ask, body.get("timeout") or "PT1S", missing)


@verb("triggered_executions")
async def triggered_executions(world: World, body: dict[str, Any]) -> None:
    """List the executions that a flow trigger made because of an execution."""
    source = world.execution_id(body["of"])
    found = []
    for one in await world.engine.executions():
        if one.trigger is not None and one.trigger.variables.get("executionId") == source:
            found.append(await world.read(one.id))
    world.remember(body.get("as", "t"), found)


@verb("get_execution")
async def get_execution(world: World, body: dict[str, Any]) -> None:
    """Give the execution of an id an alias."""

    async def ask() -> Snapshot | None:
        return await world.engine.snapshot(body["id"])

    async def missing() -> str:
        return f"there is no execution '{body['id']}'"

    world.remember(body.get("as", "e"), await until(world.engine, ask, body.get("timeout"), missing))


@verb("sleep")
async def sleep(world: World, body: Any) -> None:
    """Let time pass."""
    await world.engine.sleep(duration(body).total_seconds())  # what the case asks for
