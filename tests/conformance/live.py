"""
The files beside `cases.yaml` in real mode: what a user can see of their cases is tried on running processes.

Expressions are rendered by a worker, in a flow of one task; inputs come as parts of a request and are read from the
execution that it makes; texts of flows are judged and drawn by the webserver. What no process shows (a schedule on a
clock that stands still, a class of Java) is the same code in every mode: it is tried in the runner's own process only,
and the report counts it apart.
"""

from __future__ import annotations

import asyncio
import dataclasses
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from tests.conformance import live_expressions, live_inputs, live_tasks, live_texts
from tests.conformance.corpus import ROOT, Case, Folder, MissingFile
from tests.conformance.engine import Engine
from tests.conformance.memory import ENVIRONMENT, Config, rules_of_2
from tests.conformance.postgres import JOBS, Installation, broker_of
from tests.conformance.result import AGAIN, NO_PROCESS, CaseResult, LeftOut, Mismatch, NoProcess, Outcome
from tests.conformance.stub import Stub

Run = Callable[[Engine, Folder, Case], Awaitable[None]]
"""Tries one case; raises Mismatch, or NoProcess with the reason when processes do not show it."""

RUNS: Final[Mapping[str, Mapping[str, Run]]] = {
    "expressions.yaml": {"cases": live_expressions.run},
    "inputs.yaml": {
        "cases": live_inputs.run_typing,
        "resolve": live_inputs.run_resolve,
        "read": live_inputs.run_read,
        "typed_outputs": live_inputs.run_outputs,
        "api": live_inputs.run_api,
    },
    "tasks.yaml": {"cases": live_tasks.run},
    "invalid/expected.yaml": {"flows": live_texts.run_flow},
    "graphs.yaml": {"cases": live_texts.run_graph},
}
CASE_DEADLINE_S: Final = 90.0
"""One case through all processes; most take less than a second."""
AGAIN_MAX: Final = 15
"""Failures that are tried once more; more than these are no accident of a busy machine."""


def run_live(
    folder: Folder, results: Mapping[str, Sequence[CaseResult]], queue: str, jobs: int
) -> dict[str, list[CaseResult]]:
    """
    Try on processes what has passed in the runner's process; return all results by file, those that processes have
    shown marked as such.
    """
    tried = [(file, run, case) for file in results for run, case in _cases(folder, file, results[file])]
    found: dict[tuple[str, str], CaseResult] = {}
    if tried:
        try:
            found = _run_all(folder, tried, queue, jobs if jobs > 1 else JOBS)
        except Exception as error:  # an installation that cannot be started fails every case, with the reason
            why = f"The installation failed: {type(error).__name__}: {error}"
            found = {(file, case.id): _failed(file, case, why) for file, _, case in tried}
    return {file: [found.get((file, one.id), one) for one in listed] for file, listed in results.items()}


def _cases(folder: Folder, file: str, results: Sequence[CaseResult]) -> list[tuple[Run, Case]]:
    passed = {one.id for one in results if one.result is Outcome.PASSED}
    return [
        (run, case) for key, run in RUNS.get(file, {}).items() for case in folder.cases(file, key) if case.id in passed
    ]


def _run_all(
    folder: Folder, tried: Sequence[tuple[str, Run, Case]], queue: str, jobs: int
) -> dict[tuple[str, str], CaseResult]:
    tenants = [f"live{number}" for number in range(len(tried))]
    known = [*tenants, *(f"{tenant}again" for tenant in tenants)]
    (ROOT / "build").mkdir(exist_ok=True)
    config = Config(environment=ENVIRONMENT, rules_of_2=rules_of_2(case for _, _, case in tried))
    with broker_of(queue) as broker, Installation(known, config, broker) as installation, Stub(folder) as stub:
        return asyncio.run(_on(installation, stub, folder, tried, tenants, jobs))


async def _on(
    installation: Installation,
    stub: Stub,
    folder: Folder,
    tried: Sequence[tuple[str, Run, Case]],
    tenants: Sequence[str],
    jobs: int,
) -> dict[tuple[str, str], CaseResult]:
    found: dict[tuple[str, str], CaseResult] = {}
    slots = asyncio.Semaphore(jobs)
    async with installation.engine() as engine:
        engine.stub_url, engine.stub_bodies, engine.localize = stub.url, stub.bodies, stub.local

        async def one(file: str, run: Run, case: Case, tenant: str) -> CaseResult:
            async with slots, installation.client(tenant) as client:
                own = dataclasses.replace(engine, http=client, tenant=tenant)
                return await _outcome(file, run, own, folder, case)

        async def kept(file: str, run: Run, case: Case, tenant: str) -> None:
            found[file, case.id] = await one(file, run, case, tenant)

        async with asyncio.TaskGroup() as group:
            for (file, run, case), tenant in zip(tried, tenants, strict=True):
                group.create_task(kept(file, run, case, tenant))
        failures = [
            (file, run, case, tenant)
            for (file, run, case), tenant in zip(tried, tenants, strict=True)
            if found[file, case.id].result is Outcome.FAILED
        ]
        for file, run, case, tenant in failures if len(failures) <= AGAIN_MAX else []:
            second = await one(file, run, case, f"{tenant}again")
            if second.result is Outcome.PASSED:
                why = f"{AGAIN} {found[file, case.id].why}"
                found[file, case.id] = msgspec.structs.replace(second, why=why)
    return found


async def _outcome(file: str, run: Run, engine: Engine, folder: Folder, case: Case) -> CaseResult:
    try:
        async with asyncio.timeout(CASE_DEADLINE_S):
            await run(engine, folder, case)
    except (NoProcess, LeftOut, MissingFile) as reason:
        return _passed(file, case, through_processes=False, why=f"{NO_PROCESS}: {reason}")
    except Mismatch as reason:
        return _failed(file, case, str(reason))
    except TimeoutError:
        return _failed(file, case, f"It did not end within {CASE_DEADLINE_S:.0f} s.")
    except Exception as error:  # whatever a case does to the runner is that case's failure
        where = traceback.extract_tb(error.__traceback__)[-1]
        return _failed(file, case, f"{type(error).__name__}: {error} ({where.filename.split('/')[-1]}:{where.lineno})")
    return _passed(file, case, through_processes=True)


def _passed(file: str, case: Case, *, through_processes: bool, why: str = "") -> CaseResult:
    return CaseResult(
        id=case.id,
        file=file,
        result=Outcome.PASSED,
        why=why,
        features=case.features,
        through_processes=through_processes,
    )


def _failed(file: str, case: Case, why: str) -> CaseResult:
    why = f"through processes: {why}"
    return CaseResult(id=case.id, file=file, result=Outcome.FAILED, why=why, features=case.features)
