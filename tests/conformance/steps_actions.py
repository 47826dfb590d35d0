"""Steps that act on an execution through the API: resume, kill, restart, replay and the like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tests.conformance.matchers import match
from tests.conformance.problems import check_answer, check_status
from tests.conformance.result import LeftOut, Mismatch
from tests.conformance.rewinding import rewound
from tests.conformance.snapshot import Snapshot
from tests.conformance.steps_execute import form
from tests.conformance.world import World, verb
from tiercel.executor.core.facts import Ignored
from tiercel.messages.execution_event import TaskRunStateRequested
from tiercel.model.state import State

EXECUTIONS = "/api/v1/main/executions"


async def act(world: World, execution_id: str, action: str, method: str = "POST", **request: Any) -> httpx.Response:
    """Ask the API for an action on an execution."""
    return await world.engine.http.request(method, f"{EXECUTIONS}/{execution_id}/actions/{action}", **request)


def _check(response: httpx.Response, body: Mapping[str, Any]) -> bool:
    """Hold the answer against the step; tell whether the action was accepted."""
    if "expect_http" in body and body.get("error") is None:
        # The status of an accepted action differs between 0.21 and 2.0 (differences.md): any 2xx is one.
        check_status(response, "ok" if int(body["expect_http"].get("status", 200)) < 300 else None)
        return True
    check_answer(response, body.get("error"))
    return body.get("error") is None


@verb("resume")
async def resume(world: World, body: dict[str, Any]) -> None:
    """Resume a paused execution, with inputs where it asks for them."""
    execution_id = world.execution_id(body["execution"])
    response = await act(world, execution_id, "resume", **form(body.get("inputs") or {}))
    if _check(response, body):
        await _remember(world, body, execution_id, "RESTARTED")


@verb("pause")
async def pause(world: World, body: dict[str, Any]) -> None:
    """Pause a running execution."""
    _check(await act(world, world.execution_id(body["execution"]), "pause"), body)


@verb("kill")
async def kill(world: World, body: dict[str, Any]) -> None:
    """Kill an execution and its children."""
    execution_id = world.execution_id(body["execution"])
    before = await world.snapshot(body["execution"])
    if _check(await act(world, execution_id, "kill", "DELETE"), body) and body.get("as"):
        found = await world.wait_for(
            execution_id, lambda one: one.history != before.history, "the kill to be noticed", body.get("timeout")
        )
        world.remember(body["as"], found)
        world.returned[body["as"]] = rewound(found, body.get("after_state", "KILLING"))


@verb("restart")
async def restart(world: World, body: dict[str, Any]) -> None:
    """Run what failed of an execution again."""
    execution_id = world.execution_id(body["execution"])
    before = await world.engine.snapshot(execution_id)
    query = {"revision": body["revision"]} if body.get("revision") else {}
    response = await act(world, execution_id, "restart", params=query)
    if _check(response, body):
        await _remember(world, body, str(response.json().get("id", execution_id)), "RESTARTED", before)


@verb("replay")
async def replay(world: World, body: dict[str, Any]) -> None:
    """Make a new execution that takes over what came before a task run."""
    execution_id = world.execution_id(body["execution"])
    query: dict[str, Any] = {}
    run_id = await _start(world, execution_id, body.get("from"), body.get("error") is not None)
    if run_id is not None:
        query["taskRunId"] = run_id
    if body.get("revision"):
        query["revision"] = body["revision"]
    response = await act(world, execution_id, "replay", params=query)
    if _check(response, body):
        state = "CREATED" if run_id is None else "RESTARTED"
        await _remember(world, body, str(response.json()["id"]), state)


async def _start(world: World, execution_id: str, given: Any, may_fail: bool) -> str | None:
    if given is None:
        return None
    if isinstance(given, str):
        return given
    if "task_run_id" in given:
        return str(given["task_run_id"])
    snapshot = await world.read(execution_id)
    try:
        if "at" in given:
            return snapshot.run_at(int(given["at"])).run.id
        return snapshot.run_of(given["task"], given.get("values")).run.id
    except Mismatch:
        if may_fail:
            return str(given.get("task"))
        raise


@verb("change_task_status")
async def change_task_status(world: World, body: dict[str, Any]) -> None:
    """Set a task run's state by hand."""
    execution_id = world.execution_id(body["execution"])
    run_id = await _start(world, execution_id, body, may_fail=False)
    assert run_id is not None
    owner = await _owner(world, execution_id, run_id)
    engine = world.engine
    await engine.emit(
        TaskRunStateRequested(execution_id=owner.id, at=engine.now(), task_run_id=run_id, state=State(body["state"]))
    )
    await _remember(world, body, owner.id, "RESTARTED", owner)


async def _owner(world: World, execution_id: str, run_id: str) -> Snapshot:
    """Return the execution that a task run belongs to: this one, or an iteration of a loop below it."""
    waiting = [execution_id]
    while waiting:
        found = await world.read(waiting.pop())
        if any(run.run.id == run_id for run in found.runs):
            return found
        waiting += [one.id for one in await world.engine.executions(parent_id=found.id)]
    raise Mismatch(f"No execution below '{execution_id}' has the task run '{run_id}'.")


@verb("change_status")
async def change_status(world: World, body: dict[str, Any]) -> None:
    """Set the state of an ended execution by hand."""
    execution_id = world.execution_id(body["execution"])
    response = await act(world, execution_id, "change-status", params={"status": body["state"]})
    if _check(response, body):
        await _remember(world, body, execution_id, body["state"])


@verb("set_labels")
async def set_labels(world: World, body: dict[str, Any]) -> None:
    """Replace the labels of an ended execution."""
    execution_id = world.execution_id(body["execution"])
    before = await world.engine.snapshot(execution_id)
    if _check(await act(world, execution_id, "labels", json=body["labels"]), body):
        assert before is not None
        found = await world.wait_for(execution_id, lambda one: one.labels != before.labels, "new labels")
        _name(world, body, found)


@verb("delete_execution")
async def delete_execution(world: World, body: dict[str, Any]) -> None:
    """Delete an execution, with its logs, metrics and files unless the step says otherwise."""
    flags = {
        f"delete{name.title()}": str(body[name]).lower() for name in ("logs", "metrics", "storage") if name in body
    }
    path = f"{EXECUTIONS}/{world.execution_id(body['execution'])}"
    check_answer(await world.engine.http.delete(path, params=flags), body.get("error"))
    await world.engine.settle()  # lists show it until history knows


@verb("force_run")
async def force_run(world: World, body: dict[str, Any]) -> None:
    """Run an execution that waits."""
    _check(await act(world, world.execution_id(body["execution"]), "force-run"), body)


@verb("unqueue")
async def unqueue(world: World, body: dict[str, Any]) -> None:
    """Take an execution out of the waiting line."""
    query = {"state": body["state"]} if body.get("state") else {}
    _check(await act(world, world.execution_id(body["execution"]), "unqueue", params=query), body)


@verb("eval")
async def evaluate(world: World, body: dict[str, Any]) -> None:
    """Evaluate an expression as a task run (or the execution) sees it."""
    execution_id = world.execution_id(body["execution"])
    action = "eval"
    if "at" in body:
        action += "/" + (await world.read(execution_id)).run_at(int(body["at"])).run.id
    headers = {"content-type": "text/plain"}
    response = await act(world, execution_id, action, content=body["expression"], headers=headers)
    check_status(response, "ok")
    answer = response.json()
    for name, key in (("result", "result"), ("error", "error"), ("stack_trace", "stackTrace")):
        if name in body:
            await match(answer.get(key), body[name], world, name)


@verb("ignore")
async def ignore(world: World, body: dict[str, Any]) -> None:
    """Have the engine ignore executions, flows or namespaces."""
    if world.engine.ignored is None:
        raise LeftOut("The ignore list is a setting of the executor: needs an installation of its own configuration.")
    lists = {name: frozenset(map(str, body.get(name) or ())) for name in Ignored._fields}
    world.engine.ignored(Ignored(**lists))


@verb("set_concurrency")
async def set_concurrency(world: World, body: dict[str, Any]) -> None:
    """Change the number of slots that are taken."""
    namespace, _, flow_id = str(body["flow"]).partition("/")
    limits = (await _call(world, "GET", "search", params={"size": 1000})).json()["results"]
    known = next(one for one in limits if (one["namespace"], one["flowId"]) == (namespace, flow_id))
    running = max(0, known["running"] + int(body["running_add"]))
    await _call(world, "PUT", f"{namespace}/{flow_id}", json={"running": running})


async def _call(world: World, method: str, path: str, **more: Any) -> httpx.Response:
    response = await world.engine.http.request(method, f"/api/v1/main/concurrency-limit/{path}", **more)
    check_status(response, "ok")
    return response


async def _remember(
    world: World, body: Mapping[str, Any], execution_id: str, state: str, before: Snapshot | None = None
) -> None:
    """Give the execution its alias, once the action has come into effect."""
    if not body.get("as"):
        return
    same = before is not None and before.id == execution_id
    known = len(before.history) if same and before is not None else 0
    found = await world.wait_for(
        execution_id, lambda one: state in one.history[known:] or state in one.history[-1:], f"state {state}"
    )
    _name(world, body, found)
    world.returned[body["as"]] = rewound(found, state)
    if body.get("run") is False:
        world.frozen.add(body["as"])


def _name(world: World, body: Mapping[str, Any], found: Snapshot) -> None:
    if body.get("as"):
        world.remember(body["as"], found)
        world.returned[body["as"]] = found
