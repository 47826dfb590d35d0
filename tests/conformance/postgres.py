"""
Real mode: one installation of separate processes on an embedded PostgreSQL, and cases side by side on it. In the mode
`kafka` its messages go through a broker of its own.

Each case has a tenant of its own, so that flows and executions of the same name do not meet; a case that speaks the
paths of 0.21, which name no tenant, runs alone in the tenant `main`.

Some cases do something "while the flow sleeps", for half a second, and find it ended on a busy machine. A case that
has failed is tried once more, alone and in a tenant of its own; if it passes then, the report says so and why it had
failed. One that is wrong fails twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import IO, Any, Final

import httpx
import msgspec
import yaml

from backing import choice
from backing.process import free_port
from tests.conformance import test_plugins  # noqa: F401 (registers the types that only the corpora use)
from tests.conformance.case_run import run_case
from tests.conformance.corpus import ROOT, Case, Folder, MissingFile
from tests.conformance.engine import Engine
from tests.conformance.memory import ENVIRONMENT, GLOBALS, URL, Config, config_of, rules_of_2
from tests.conformance.result import AGAIN, CaseResult, Outcome, failed
from tests.conformance.stub import Stub
from tiercel.queue.kafka.producer import SOON_S
from tiercel.queue.kafka.queue import KafkaQueue
from tiercel.runtime import settings as runtime_settings
from tiercel.runtime import wiring
from tiercel.runtime.clock import SystemClock
from tiercel.runtime.embedded import HISTORY_DATABASE, EmbeddedPostgres
from tiercel.runtime.scratch import Scratch
from tiercel.webserver.context import ApiContext
from tiercel.webserver.settings import WebserverSettings
from tiercel.worker.settings import WorkerSettings

LOOK_S = 0.1
"""Between two looks at a server that starts or forgets."""

START_TIMEOUT_S: Final = 90.0
CASE_DEADLINE_S: Final = 150.0
STOP_TIMEOUT_S: Final = 60.0
JOBS: Final = 6
AGAIN_MAX: Final = 15
"""So many failed cases are tried once more: if there are more of them, it is not the machine."""
_OLD_PATH: Final = re.compile(r"/api/v1/(?!main/)")
_MAIN: Final = re.compile(r"(?<=/api/v1/)main(?=/)|(?<=/ui/)main(?=/)")


class Installation:
    """Processes and a database in a folder of their own; `with` starts and stops them."""

    def __init__(self, tenants: Sequence[str], config: Config, broker: str | None) -> None:
        self._tenants = list(tenants)
        self._config = config
        self._broker = broker
        self._scratch = Scratch("conformance")
        self._folder = self._scratch.path
        self._folder.chmod(0o755)
        self._server = EmbeddedPostgres(self._folder / "data")
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.port = free_port()
        self.scratch = self._folder / "scratch"

    def __enter__(self) -> Installation:
        self.scratch.mkdir()
        try:
            return self._start()
        except BaseException:  # Ctrl-C too: what was started is stopped, and the error goes on
            self.__exit__()
            raise

    def _start(self) -> Installation:
        self._server.start()
        config = self._folder / "tiercel.yaml"
        config.write_text(yaml.safe_dump(self._settings()), "utf-8")
        self._log = (self._folder / "server.log").open("wb")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERCEL_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.server", "server", "standalone", "--config", str(config)],
            cwd=ROOT,
            env={**environment, **self._config.environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._await_ready()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._server.stop()
        if self._log is not None:
            self._log.close()
            shutil.copyfile(self._folder / "server.log", ROOT / "build" / "conformance-postgres.log")
        self._scratch.close()

    def _settings(self) -> dict[str, Any]:
        queue = {"queue": {"type": "kafka"}, "kafka": {"bootstrap-servers": self._broker}} if self._broker else {}
        key = self._config.encryption_key
        return {
            **queue,
            **({} if key is None else {"encryption": {"secret-key": key}}),
            "url": URL,
            "data": str(self._folder / "data"),
            "postgres": {"url": self._server.uri()},
            "repository": {"url": self._server.uri(HISTORY_DATABASE)},
            "storage": {"local": {"base-path": str(self._folder / "storage")}},
            "server": {"port": self.port, "management-port": 0, "termination-grace": "PT5S"},
            "variables": {"globals": GLOBALS, "env-vars-prefix": "KESTRA_"},
            "webserver": {"tenants": ["main", *self._tenants], "rules-of-2": str(self._config.rules_of_2)},
            "worker": {"local-files-allowed": [str(self.scratch)]},
        }

    def _await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.port}/ping", timeout=2).status_code < 500:
                    return
            time.sleep(LOOK_S)  # the server is another process
        log = (self._folder / "server.log").read_text("utf-8", "replace")
        raise RuntimeError(f"The installation did not start: {log[-2000:]}")

    @contextlib.asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        """Connect to the database and to the API."""
        file = self._folder / "tiercel.yaml"
        settings = runtime_settings.load(file, sections={"webserver": WebserverSettings, "worker": WorkerSettings})
        async with contextlib.AsyncExitStack() as stack:
            adapters, _ = await wiring.connect("webserver", settings, stack)
            key = self._config.encryption_key
            api = ApiContext(adapters, WebserverSettings(encryption_key=key, variables_globals=GLOBALS))
            stack.push_async_callback(api.close)
            client = await stack.enter_async_context(self.client("main"))
            assert adapters.statestore is not None
            assert adapters.definitions is not None
            assert adapters.repository is not None
            yield Engine(
                queue=adapters.queue,
                statestore=adapters.statestore,
                definitions=adapters.definitions,
                repository=adapters.repository,
                storage=adapters.storage,
                clock=SystemClock(),
                http=client,
                api=api,
                encryption_key=key,
                scratch=self.scratch,
                unsent_s=SOON_S if isinstance(adapters.queue, KafkaQueue) else 0.0,
            )

    def client(self, tenant: str) -> httpx.AsyncClient:
        """Return a client whose requests to the tenant `main` go to another one."""

        async def to_tenant(request: httpx.Request) -> None:
            path = request.url.raw_path.decode()
            request.url = request.url.copy_with(raw_path=_MAIN.sub(tenant, path, count=1).encode())

        hooks = {"request": [to_tenant]}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=120, event_hooks=hooks)


def run_cases(folder: Folder, cases: Sequence[Case], jobs: int = 1, *, queue: str = "postgres") -> list[CaseResult]:
    """Run cases, `jobs` side by side; those that want another encryption key have an installation of their own."""
    (ROOT / "build").mkdir(exist_ok=True)
    results: dict[str, CaseResult] = {}
    for key in dict.fromkeys(config_of(case).encryption_key for case in cases):
        of_key = [case for case in cases if config_of(case).encryption_key == key]
        found = _run_installed(folder, of_key, jobs if jobs > 1 else JOBS, key, queue)
        results |= {result.id: result for result in found}
    return [results[case.id] for case in cases]


def _run_installed(folder: Folder, cases: Sequence[Case], jobs: int, key: str | None, queue: str) -> list[CaseResult]:
    tenants = [f"case{number}" for number in range(len(cases))]
    environment = dict(ENVIRONMENT)
    for case in cases:
        environment |= (case.body.get("config") or {}).get("env", {})
    config = Config(environment=environment, encryption_key=key, rules_of_2=rules_of_2(cases))
    try:
        known = [*tenants, *map(_again, tenants)]
        with (
            broker_of(queue) as broker,
            Installation(known, config, broker) as installation,
            Stub(folder) as stub,
        ):
            return asyncio.run(_run_all(installation, stub, folder, cases, tenants, jobs))
    except Exception as error:  # an installation that cannot be started fails every case, with the reason
        why = f"The installation failed: {type(error).__name__}: {error}"
        return [failed(case.id, case.file, why, case.features) for case in cases]


@contextlib.contextmanager
def broker_of(queue: str) -> Iterator[str | None]:
    """Yield the address of a broker, where the queue needs one."""
    if queue != "kafka":
        yield None
        return
    choice.prepare("kafka")
    with Scratch("kafka") as folder, choice.kafka_address(folder) as address:
        yield address


async def _run_all(
    installation: Installation, stub: Stub, folder: Folder, cases: Sequence[Case], tenants: Sequence[str], jobs: int
) -> list[CaseResult]:
    results: dict[str, CaseResult] = {}
    slots = asyncio.Semaphore(jobs)
    async with installation.engine() as engine:
        engine.stub_url, engine.stub_bodies, engine.localize = stub.url, stub.bodies, stub.local

        async def run(case: Case, tenant: str) -> None:
            async with slots:
                results[case.id] = await _run_one(installation, engine, folder, case, tenant)

        alone = [case for case in cases if _OLD_PATH.search(str(case.body.get("steps")))]
        async with asyncio.TaskGroup() as group:
            for case, tenant in zip(cases, tenants, strict=True):
                if case not in alone:
                    group.create_task(run(case, tenant))
        for case in alone:
            results[case.id] = await _run_one(installation, engine, folder, case, "main")
            await _forget_executions(engine)
        failures = [
            (case, _again(tenant) if case not in alone else "main")
            for case, tenant in zip(cases, tenants, strict=True)
            if results[case.id].result is Outcome.FAILED
        ]
        for case, tenant in failures if len(failures) <= AGAIN_MAX else []:
            second = await _run_one(installation, engine, folder, case, tenant)
            if second.result is Outcome.PASSED:
                why = f"{AGAIN} {results[case.id].why}"
                results[case.id] = msgspec.structs.replace(second, why=why)
    return [results[case.id] for case in cases]


def _again(tenant: str) -> str:
    """Return the tenant in which a case is tried once more."""
    return f"{tenant}again"


async def _run_one(installation: Installation, engine: Engine, folder: Folder, case: Case, tenant: str) -> CaseResult:
    started = time.monotonic()
    scratch = installation.scratch / f"{tenant}-{case.id}"
    async with installation.client(tenant) as client:
        own = dataclasses.replace(engine, http=client, tenant=tenant, scratch=scratch)
        try:
            async with asyncio.timeout(CASE_DEADLINE_S):
                result = await run_case(_of_tenant(case, tenant), folder, own)
        except TimeoutError:
            why = f"It did not end within {CASE_DEADLINE_S:.0f} s."
            result = failed(case.id, case.file, why, case.features)
        except Exception as error:  # whatever a case does to the runner is that case's failure
            result = failed(case.id, case.file, f"{type(error).__name__}: {error}", case.features)
        await _clear(own, case, folder)
    return msgspec.structs.replace(result, seconds=time.monotonic() - started)


def _of_tenant(case: Case, tenant: str) -> Case:
    """Return the case as it is in another tenant than `main`."""

    def moved(value: Any) -> Any:
        match value:
            case dict():
                return {key: tenant if key == "tenantId" else moved(inner) for key, inner in value.items()}
            case list():
                return [moved(inner) for inner in value]
            case str():
                return re.sub(r"(?<=/ui/)main(?=/)", tenant, value)
            case _:
                return value

    return case if tenant == "main" else msgspec.structs.replace(case, body=moved(case.body))


async def _clear(engine: Engine, case: Case, folder: Folder) -> None:
    """Delete the flows of a case, so that their triggers do nothing any more."""
    for flow in _flows(case, folder):
        with contextlib.suppress(httpx.HTTPError):
            await engine.http.delete(f"/api/v1/main/flows/{flow['namespace']}/{flow['id']}")


async def _forget_executions(engine: Engine) -> None:
    """End and delete the executions of the tenant, so that the next case's searches do not find them."""
    await engine.settle()
    left = await engine.executions()
    for execution in left:
        if not execution.state.is_terminated:
            await engine.http.delete(f"/api/v1/main/executions/{execution.id}/actions/kill")
    deadline = engine.now() + timedelta(seconds=20)
    while left and engine.now() < deadline:
        for execution in left:
            with contextlib.suppress(httpx.HTTPError):
                await engine.http.delete(f"/api/v1/main/executions/{execution.id}")
        await engine.settle()
        left = await engine.executions()
        if left:
            await engine.sleep(LOOK_S)  # what is deleted disappears from lists through the indexer


def _flows(case: Case, folder: Folder) -> Iterator[dict[str, Any]]:
    for path in case.body.get("flows", []):
        try:
            found = yaml.safe_load(folder.text(path))
        except (MissingFile, OSError, ValueError, yaml.YAMLError):
            continue  # what cannot be read was not deployed
        if isinstance(found, dict) and "id" in found:
            yield found
