"""Tasks as an installation runs them: each run of a case is a flow of one task, on a worker, with real storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from tests.conformance import task_expect, task_setup
from tests.conformance.corpus import Case, Folder
from tests.conformance.engine import Engine
from tests.conformance.interpolation import Names
from tests.conformance.live_texts import deploy
from tests.conformance.result import Mismatch, NoProcess
from tests.conformance.snapshot import Snapshot
from tests.conformance.tasks import commands
from tests.conformance.values import build, plain
from tests.conformance.waiting import eventually
from tests.conformance.world import World
from tiercel.model import ids
from tiercel.model.state import State
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter
from tiercel.secrets.encryption import Encryption
from tiercel.storage.keyvalues import StorageKeyValues
from tiercel.worker.single import RunOutcome

NAMESPACE: Final = "company.team"
_SETUPS: Final = frozenset({"put_file", "set_kv", "put_namespace_file", "random_namespace", "instant"})
_OPERATIONS: Final = frozenset({"task", "run_commands", "log_lines"})


class LivePlace:
    """What setups and expectations of tasks ask for, in a tenant of the installation."""

    def __init__(self, engine: Engine, folder: Folder, *, network: bool) -> None:
        self.engine, self.folder, self.network = engine, folder, network
        self.tenant, self.storage, self.clock = engine.tenant, engine.storage, engine.clock
        self.keys = StorageKeyValues(engine.storage, engine.tenant, engine.clock)
        self.names = Names(engine.now())
        self.names.aliases["http"] = engine.stub_url

    def now(self) -> Any:
        return self.engine.now()

    async def read_file(self, uri: str) -> bytes:
        return await self.storage.read(self.tenant, uri)

    def decrypt(self, cipher: str) -> str:
        assert self.engine.encryption_key is not None
        return Encryption(self.engine.encryption_key).decrypt(cipher)

    def http_body(self, url: str) -> Any:
        return self.engine.stub_bodies[url]

    def input_file(self) -> str | None:
        return self.names.first_uri()

    def made(self, value: Any) -> Any:
        """Return a case's data with its `${…}`, typed values and public addresses made."""
        found = build(self.names.fill(value), self.folder)
        return self.engine.localize(found) if self.network else found


async def run(engine: Engine, folder: Folder, case: Case) -> None:
    """Run the tasks of a case, one execution each."""
    _only_through_worker(case)
    place: Any = LivePlace(engine, folder, network="network" in case.body.get("needs", ()))
    for step in case.body.get("setup", []):
        ((name, body),) = step.items()
        await task_setup.SETUPS[name](place, place.made(body))
    variables = plain(place.made(case.body.get("variables") or {}))
    world = World(case, folder, engine)
    for number, each in enumerate(case.body["runs"], start=1):
        try:
            await _run(place, world, each, variables, number)
        except Mismatch as problem:
            raise Mismatch(f"run {number}: {problem}") from None


def _only_through_worker(case: Case) -> None:
    body = case.body
    if body.get("config"):
        raise NoProcess("it needs an installation of its own configuration")
    if any(name not in _SETUPS for step in body.get("setup", []) for name in step):
        raise NoProcess("its setup is on the disk of one process")
    if any(each.get("operation", "task") not in _OPERATIONS for each in body["runs"]):
        raise NoProcess("it asks a part of a task, which no flow does")
    if set(body.get("variables") or {}) & {"execution", "taskrun", "task", "trigger", "parent", "inputs", "outputs"}:
        raise NoProcess("its variables stand for those that an execution has of its own")
    if "working_dir" in str(body["runs"]):
        raise NoProcess("it looks into the working directory")


async def _run(place: Any, world: World, run: Mapping[str, Any], variables: dict[str, Any], number: int) -> None:
    expected, operation = place.made(run["expect"]), run.get("operation", "task")
    task = place.made(run["task"]) if operation == "task" else commands(operation, place.made(dict(run)))
    named = variables.get("flow") or {}
    flow = {"id": f"{named.get('id', 'single')}-{number}", "namespace": named.get("namespace", NAMESPACE)}
    await deploy(place.engine, yaml.safe_dump({**flow, "tasks": [plain(task)]}, sort_keys=False))
    execution_id = ids.new_id()
    others = {name: value for name, value in variables.items() if name != "flow"}
    await place.engine.start(flow["namespace"], flow["id"], execution_id, others)
    found = await world.wait_ended(execution_id, "PT30S")
    if "error" in expected:
        # A log line says what was wrong, not which class of error it was.
        expected = {**expected, "error": {key: part for key, part in expected["error"].items() if key != "kind"}}

    async def check() -> None:
        await task_expect.check(place, operation, await _outcome(place.engine, found), expected)

    await eventually(place.engine, check)


async def _outcome(engine: Engine, found: Snapshot) -> RunOutcome:
    """Return what the execution's task has left, as far as it has been written down."""
    logs = await engine.logs(found.id)
    wanted = [Filter(field=Field.EXECUTION_ID, value=found.id)]
    page = Page(size=1000, total=False)
    entries = (await engine.repository.metrics(engine.tenant, wanted, page)).results
    outputs = dict(found.runs[0].outputs or {}) if found.runs else {}
    errors = [line.message for line in logs if line.level == "ERROR"]
    is_failed = found.state == "FAILED"
    return RunOutcome(
        state=State(found.state),
        outputs=outputs,
        plain_outputs=outputs,
        error=("\n".join(errors) or found.summary()) if is_failed else None,
        exception=None,
        logs=logs,
        metrics=[{"type": e.type, "name": e.name, "value": e.value, "tags": e.tags} for e in entries],
    )
