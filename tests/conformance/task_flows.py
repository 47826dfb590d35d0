"""Cases of `tasks.yaml` that need the services: a flow of one task on the cluster in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conformance.corpus import Case, Folder
from tests.conformance.engine import Engine
from tests.conformance.matchers import match
from tests.conformance.problems import check_text
from tests.conformance.result import LeftOut, Mismatch, only
from tests.conformance.steps_store import deploy, put_log
from tests.conformance.task_expect import check_logs
from tests.conformance.world import VERBS, World
from tiercel.messages.execution_event import DeleteRequested
from tiercel.model.ids import new_id
from tiercel.model.task import Task
from tiercel.plugins.base import RunnableTask
from tiercel.plugins.core.apitask import ApiTask
from tiercel.plugins.registry import REGISTRY

_LOGGED: Final = frozenset({"save_log", "save_execution", "mark_execution_deleted"})
"""Setups of a history, which only services keep."""


def needs_services(case: Case) -> bool:
    """Tell whether a case's tasks look at the history, or are what the executor does itself."""
    setups = {name for step in case.body.get("setup", []) for name in step}
    return bool(setups & _LOGGED) or any(_needs(run.get("task")) for run in case.body["runs"])


def _needs(given: Any) -> bool:
    if not isinstance(given, Mapping):
        return False
    found = REGISTRY.find(str(given.get("type")))
    if found is None or not issubclass(found, Task):
        return False
    return issubclass(found, ApiTask) or not issubclass(found, RunnableTask)


def run_on_cluster(case: Case, folder: Folder, scratch: Path) -> None:
    """Run the case; raise Mismatch when it does not hold."""
    from tests.conformance.memory import cluster, config_of  # noqa: PLC0415 it needs the services, other cases do not
    from tiercel.testing.virtual_time import run_virtual  # noqa: PLC0415 with the cluster

    async def main() -> None:
        async with cluster(config_of(case), scratch) as engine:
            await _runs(World(case, folder, engine), case)

    run_virtual(main())


async def _runs(world: World, case: Case) -> None:
    for step in case.body.get("setup", []):
        ((name, raw),) = step.items()
        body = await world.filled(raw)
        match name:
            case "save_log":
                entry = {"flow": body.pop("flowId"), "execution": body.pop("executionId", None), **body}
                await put_log(world, entry)
            case "save_execution":
                await _save_execution(world, body)
            case "mark_execution_deleted":
                engine = world.engine
                await engine.emit(DeleteRequested(execution_id=world.execution_id(body), at=engine.now()))
            case _ if name in VERBS:
                await VERBS[name](world, body)
            case _:
                raise LeftOut(f"the runner does not know the setup '{name}' on a cluster")
    for number, run in enumerate(case.body["runs"], start=1):
        await _run(world, number, await world.filled(run))


async def _save_execution(world: World, body: Mapping[str, Any]) -> None:
    """Run an execution of a flow of this name to its end."""
    task = {"id": "one", "type": "io.kestra.plugin.core.debug.Return", "format": body.get("task_output", "value")}
    flow = {"id": body["flowId"], "namespace": body["namespace"], "tasks": [task]}
    await deploy(world, yaml.safe_dump(flow, sort_keys=False))
    world.remember(body["as"], await _executed(world.engine, world, body["namespace"], body["flowId"]))


async def _run(world: World, number: int, run: Mapping[str, Any]) -> None:
    name = f"single-task-{number}"
    flow = {"id": name, "namespace": "company.team", "tasks": [run["task"]]}
    await deploy(world, yaml.safe_dump(flow, sort_keys=False))
    found = await _executed(world.engine, world, "company.team", name)
    expected = run["expect"]
    only(expected, ("error", "outputs", "state", "logs"), "the expectation of a task on a cluster")
    state = expected.get("state", "FAILED" if "error" in expected else "SUCCESS")
    if found.state != state:
        raise Mismatch(f"run {number}: expected {state}; {found.summary()}")
    lines = await world.engine.logs(found.id)
    if "error" in expected:
        check_text("\n".join(line.message for line in lines if line.level == "ERROR"), _within(expected["error"]))
    if "logs" in expected:
        check_logs(lines, expected["logs"])
    await match(found.runs[0].outputs, expected.get("outputs", {}), world, f"run {number}: outputs")


def _within(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return a claim on an error as one on the lines of log that tell of it, among others."""
    texts = [error[key] for key in ("equals", "contains", "starts_with") if key in error]
    return {"contains": [part for text in texts for part in (text if isinstance(text, list) else [text])]}


async def _executed(engine: Engine, world: World, namespace: str, flow_id: str) -> Any:
    execution_id = new_id()
    await engine.start(namespace, flow_id, execution_id)
    found = await world.wait_ended(execution_id)
    await engine.sleep(0.5)  # what reads the history sees it only once the indexer has written it down
    return found
