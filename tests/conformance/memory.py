"""
The cluster in memory: every service on one event loop whose time jumps, a fresh one for each case.

Nothing outlives its case, so cases need no isolation, and hours of retries and pauses take milliseconds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from tests.conformance import test_plugins
from tests.conformance.case_run import run_case
from tests.conformance.corpus import Case, Folder
from tests.conformance.deadline import Hung, deadline
from tests.conformance.engine import Engine
from tests.conformance.result import AGAIN, CaseResult, Outcome, failed
from tests.conformance.stub import Stub
from tiercel.client.http import HttpApiClient
from tiercel.executor.service import ExecutorService
from tiercel.executor.settings import ExecutorSettings
from tiercel.indexer.service import IndexerService
from tiercel.indexer.settings import IndexerSettings
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.scratch import Scratch
from tiercel.runtime.service import Service
from tiercel.scheduler.service import SchedulerService
from tiercel.scheduler.settings import SchedulerSettings
from tiercel.testing.cluster import MemoryCluster
from tiercel.testing.virtual_time import run_virtual
from tiercel.webserver.app import WebApp, build
from tiercel.webserver.settings import RulesOf2, WebserverSettings
from tiercel.worker.service import WorkerService
from tiercel.worker.settings import WorkerSettings

ENCRYPTION_KEY: Final = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
GLOBALS: Final[dict[str, Any]] = {"string": "string", "int": 1, "bool": True, "nested": {"int": 2}}
ENVIRONMENT: Final = {
    "SECRET_MY_SECRET": base64.b64encode(b'{"secretKey":"secretValue"}').decode(),
    "SECRET_NEW_LINE": base64.b64encode(b"passwordveryveryveyrlong" * 5).decode(),
    "SECRET_WEBHOOK_KEY": base64.b64encode(b"secretKey").decode(),
    "SECRET_PASSWORD": base64.b64encode(b"password").decode(),
    "KESTRA_TEST1": "true",
    "KESTRA_TEST2": "Pass by env",
}
ENVS: Final = {"test1": "true", "test2": "Pass by env"}
CASE_DEADLINE_S: Final = 90.0
"""One case in real time; waits for time cost nothing in it."""
URL: Final = "http://localhost:8081"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a case's `config` says, in place of the default configuration of the Java tests."""

    encryption_key: str | None = ENCRYPTION_KEY
    environment: Mapping[str, str]
    url: str | None = URL
    local_files: tuple[str, ...] = ()
    """Folders of the worker's disk from which files may be read."""
    rules_of_2: RulesOf2 = RulesOf2.BY_PATH


def config_of(case: Case) -> Config:
    """Return the configuration of a case."""
    given = case.body.get("config") or {}
    environment = {**ENVIRONMENT, **given.get("env", {})}
    config = Config(environment=environment, url=given.get("url", URL), rules_of_2=rules_of_2([case]))
    allowed = tuple((given.get("local_files") or {}).get("allowed_paths", ()))
    config = msgspec.structs.replace(config, local_files=allowed)
    if "encryption_secret_key" in given:
        config = msgspec.structs.replace(config, encryption_key=given["encryption_secret_key"])
    return config


def rules_of_2(cases: Iterable[Case]) -> RulesOf2:
    """Return what these cases want of flows that Kestra refuses since 2.0: those of 0.21 run some."""
    return RulesOf2.BY_PATH if any(case.is_of_2 for case in cases) else RulesOf2.WARN


@contextlib.asynccontextmanager
async def cluster(config: Config, scratch: Path, stub: Stub | None = None) -> AsyncIterator[Engine]:
    """Start every service on adapters in memory, and stop them at the end."""
    common: dict[str, Any] = {"globals": GLOBALS, "encryption_key": config.encryption_key}
    tmp = str(scratch / "work")
    web = WebserverSettings(
        url=config.url,
        encryption_key=config.encryption_key,
        variables_globals=GLOBALS,
        rules_of_2=config.rules_of_2,
    )
    apps: list[WebApp] = []

    executors: list[ExecutorService] = []

    def services(adapters: Adapters) -> list[Service]:
        executors.append(ExecutorService(adapters, ExecutorSettings(**common, envs=ENVS)))
        # What tasks ask is answered in this process: time on this loop jumps, which no socket could follow.
        apps.append(build(adapters, web))
        transport = httpx.ASGITransport(app=apps[0], raise_app_exceptions=False)
        adapters.api = HttpApiClient("http://tiercel", transport=transport)
        return [
            executors[-1],
            WorkerService(
                adapters,
                WorkerSettings(
                    **common,
                    env_vars_prefix="KESTRA_",
                    temporary_folder=tmp,
                    local_files_allowed=(str(scratch / "local"), *config.local_files),
                ),
            ),
            SchedulerService(adapters, SchedulerSettings(**common, envs=ENVS)),
            IndexerService(adapters, IndexerSettings()),
        ]

    async with contextlib.AsyncExitStack() as stack:
        inside = await stack.enter_async_context(MemoryCluster(scratch, services, environment=config.environment))
        app = apps[0]
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://tiercel", timeout=120)
        )
        stack.push_async_callback(app.api.close)
        yield Engine(
            queue=inside.backend,
            statestore=inside.backend,
            definitions=inside.definitions,
            repository=inside.repository,
            storage=inside.storage,
            clock=inside.clock,
            http=client,
            api=app.api,
            encryption_key=config.encryption_key,
            ignored=executors[-1].ignore,
            scratch=scratch,
            stub_url=stub.url if stub else "",
            stub_bodies=stub.bodies if stub else {},
            localize=stub.local if stub else _same,
        )


def _same(value: Any) -> Any:
    return value


async def _run(case: Case, folder: Folder, scratch: Path, stub: Stub | None) -> CaseResult:
    async with cluster(config_of(case), scratch, stub) as engine:
        return await run_case(case, folder, engine)


@contextlib.contextmanager
def _environment(config: Config) -> Iterator[None]:
    """Give the process the variables of the Java tests while a case runs."""
    before = dict(os.environ)
    os.environ.update(config.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_one(case: Case, folder: Folder) -> CaseResult:
    """Run a case on a cluster of its own; a hang or a crash of the cluster is its failure."""
    scratch = Scratch("case")
    (scratch.path / "work").mkdir()
    started = time.monotonic()
    test_plugins.RUNS.clear()
    try:
        with Stub(folder) as stub, _environment(config_of(case)), deadline(CASE_DEADLINE_S):
            result = run_virtual(_run(case, folder, scratch.path, stub))
    except (Exception, Hung, asyncio.CancelledError) as error:  # whatever a case does to the runner is its failure
        result = failed(case.id, case.file, f"{type(error).__name__}: {error}", case.features)
    finally:
        scratch.close()
    return msgspec.structs.replace(result, seconds=time.monotonic() - started)


def run_cases(folder: Folder, cases: Sequence[Case], jobs: int = 1) -> list[CaseResult]:
    """Run cases, each on a cluster of its own, `jobs` at a time in processes."""
    if jobs <= 1:
        found = [run_one(case, folder) for case in cases]
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
            ids = [case.id for case in cases]
            found = list(pool.map(_run_by_id, [str(folder.path)] * len(cases), ids, chunksize=4))
    return [_tried_again(case, folder, result) for case, result in zip(cases, found, strict=True)]


def _tried_again(case: Case, folder: Folder, before: CaseResult) -> CaseResult:
    """Try a case once more that ran out of real time: a machine that is busy with others does that to any case."""
    if before.result is not Outcome.FAILED or not before.why.startswith(Hung.__name__):
        return before
    again = run_one(case, folder)
    return msgspec.structs.replace(again, why=f"{AGAIN} {before.why}") if again.result is Outcome.PASSED else again


def _run_by_id(path: str, case_id: str) -> CaseResult:
    folder = Folder(Path(path))
    case = next(case for case in folder.cases("cases.yaml") if case.id == case_id)
    return run_one(case, folder)
