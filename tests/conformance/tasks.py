"""
Cases of `tasks.yaml`: single tasks, run as a worker runs them, one after another in one working directory and store.

Tasks that look at the history (purges of logs and executions) need the services around them: their cases run as a flow
of that one task on the cluster in memory (`tests.conformance.task_flows`).
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.conformance import task_expect, task_setup
from tests.conformance import test_plugins as _registered  # noqa: F401 (registers the types that only the corpora use)
from tests.conformance.corpus import Case, Folder
from tests.conformance.deadline import deadline
from tests.conformance.interpolation import Names
from tests.conformance.problems import check_error
from tests.conformance.quiet_api import quiet_api
from tests.conformance.result import CaseResult, LeftOut, Mismatch, judged, only
from tests.conformance.stub import Stub
from tests.conformance.task_flows import needs_services, run_on_cluster
from tests.conformance.values import build, duration
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.errors import TiercelError
from tiercel.runtime.clock import SystemClock
from tiercel.runtime.scratch import Scratch
from tiercel.secrets.encryption import Encryption
from tiercel.storage.keyvalues import StorageKeyValues
from tiercel.storage.local import LocalStorage
from tiercel.worker.binding import bind
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench, RunOutcome

ENCRYPTION_KEY: Final = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
CASE_DEADLINE_S: Final = 60.0
"""One task; those that install packages take longest."""
SHELL: Final = "io.kestra.plugin.scripts.shell.Commands"


class Place:
    """Where the runs of one case happen; also what its matchers ask (`tests.conformance.files.Files`)."""

    def __init__(
        self, folder: Folder, base: Path, stub: Stub, *, network: bool, local_files: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.network = network
        self.base = base
        self.stub = stub
        self.clock = SystemClock()
        self.tenant = "main"
        self.storage = LocalStorage(base / "storage", durable=False)
        self.keys = StorageKeyValues(self.storage, self.tenant, self.clock)
        self.definitions = MemoryDefinitions(self.clock)
        self.working_dir = base / "work"
        self.working_dir.mkdir()
        secrets = {"SECRET_MY_SECRET": base64.b64encode(b"secretValue").decode()}
        self.bench = Bench(
            self.storage,
            settings=WorkerSettings(
                encryption_key=ENCRYPTION_KEY,
                temporary_folder=str(base / "tmp"),
                local_files_allowed=local_files,
            ),
            environment={**os.environ, **secrets},
            api=quiet_api(self.storage, self.definitions),
        )
        self.names = Names(datetime.now(UTC))
        self.names.aliases["http"] = stub.url

    def now(self) -> datetime:
        return self.clock.now()

    async def read_file(self, uri: str) -> bytes:
        return await self.storage.read(self.tenant, uri)

    def decrypt(self, cipher: str) -> str:
        return Encryption(ENCRYPTION_KEY).decrypt(cipher)

    def http_body(self, url: str) -> Any:
        return self.stub.bodies[url]

    def input_file(self) -> str | None:
        return self.names.first_uri()

    def made(self, value: Any) -> Any:
        """Return a case's data with its `${…}`, typed values and public addresses made."""
        found = build(self.names.fill(value), self.folder)
        return self.stub.local(found) if self.network else found


def run_tasks_cases(folder: Path) -> list[CaseResult]:
    """Run every case of `tasks.yaml`."""
    corpus = Folder(folder)
    return [_run_case(case, corpus) for case in corpus.cases("tasks.yaml")]


def _run_case(case: Case, folder: Folder) -> CaseResult:
    scratch = Scratch("task")
    base = scratch.path

    def attempt() -> None:
        with Stub(folder) as stub, deadline(CASE_DEADLINE_S):
            if needs_services(case):
                run_on_cluster(case, folder, base)
            else:
                network = "network" in case.body.get("needs", ())
                asyncio.run(_runs(case, Place(folder, base, stub, network=network, local_files=_allowed(case))))

    try:
        return judged(case, attempt)
    finally:
        scratch.close()


def _allowed(case: Case) -> tuple[str, ...]:
    local = (case.body.get("config") or {}).get("local_files") or {}
    return tuple(local.get("allowed_paths", ()))


async def _runs(case: Case, place: Place) -> None:
    for step in case.body.get("setup", []):
        ((name, body),) = step.items()
        only([name], task_setup.SETUPS, "the setup")
        await task_setup.SETUPS[name](place, place.made(body))
    variables = place.made(case.body.get("variables") or {})
    dialect = "2.x" if case.id.startswith("v2.") else "1.x"
    for number, run in enumerate(case.body["runs"], start=1):
        try:
            await _run(run, variables, dialect, place)
        except Mismatch as problem:
            raise Mismatch(f"run {number}: {problem}") from None


async def _run(run: Mapping[str, Any], variables: Mapping[str, Any], dialect: str, place: Place) -> None:
    expected = place.made(run["expect"])
    operation = run.get("operation", "task")
    match operation:
        case "task":
            outcome = await place.bench.run(
                place.made(run["task"]), variables, dialect=dialect, working_dir=place.working_dir
            )
        case "input_files" | "output_files" | "run_commands" | "log_lines":
            definition = commands(operation, place.made(dict(run)))
            outcome = await place.bench.run(definition, variables, dialect=dialect, working_dir=place.working_dir)
        case "find_namespaces":
            await _find_namespaces(run, variables, expected, place)
            return
        case "metrics":
            await _metrics(run, expected, place)
            return
        case _:
            raise LeftOut(f"'{operation}' is a helper of one implementation; a user sees it through tasks only.")
    await task_expect.check(place, operation, outcome, expected)


def commands(operation: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the script task by which a user sees the operation."""
    task: dict[str, Any] = {"id": "task", "type": SHELL, "commands": ["true"]}
    match operation:
        case "input_files":
            task["inputFiles"] = run["files"]
        case "output_files":
            task["outputFiles"] = run["patterns"]
        case "log_lines":
            task["commands"] = [f"printf '%s\\n' '{line}'" for line in run["lines"]]
        case _:
            task |= {"commands": run["commands"], "interpreter": run["interpreter"]}
            if "output_files" in run:
                task["outputFiles"] = run["output_files"]
    return task


async def _find_namespaces(
    run: Mapping[str, Any], variables: Mapping[str, Any], expected: Mapping[str, Any], place: Place
) -> None:
    definition = place.made(run["task"])
    context = place.bench.context(variables, task=definition)
    try:
        task: Any = bind(dict(definition))
        found = await task.find_namespaces(context)
    except TiercelError as error:
        if "error" not in expected:
            raise Mismatch(f"The namespaces cannot be found: {error}") from error
        check_error(error, expected["error"])
        return
    finally:
        await context.close()
    if sorted(found) != sorted(expected["items_in_any_order"]):
        raise Mismatch(f"The namespaces are {found}, expected {expected['items_in_any_order']} in any order")


async def _metrics(run: Mapping[str, Any], expected: Mapping[str, Any], place: Place) -> None:
    context = place.bench.context({})
    for one in place.made(run["emit"]):
        tags = one.get("tags", {})
        if "counter" in one:
            context.counter(one["counter"], one["value"], **tags)
        elif "timer" in one:
            context.timer(one["timer"], duration(one["value"]).total_seconds(), **tags)
        else:
            context.gauge(one["gauge"], one["value"], **tags)
    task_expect.check_metrics(context.metrics.snapshot(), expected["metrics"])
    await context.close()


__all__ = ["Place", "RunOutcome", "run_tasks_cases"]
