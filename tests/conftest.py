"""
Real backing services for tests: `kafka` and `s3` are addresses, for the whole run; a test that restarts or kills one
asks for `kafka_broker` or `minio_server`, which are its module's own.

They are got before the first test that needs them (`backing`), outside of that test's time limit. Where one cannot be
had, its tests are skipped and the end of the run says so in one line; with CI=true that is a failure.

`make test` runs two workers side by side (pytest-xdist), each with services of its own; a module stays with one worker.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

import pytest

from backing import choice, tools
from backing.kafka import KafkaBroker
from backing.minio import MinioServer, S3Address
from backing.tools import Program
from tiercel.errors import TiercelError

FIXTURES: Final = {"kafka": "kafka", "kafka_broker": "own-kafka", "s3": "minio", "minio_server": "own-minio"} | {
    name: name for name in tools.TOOLS
}
"""Which service or tool stands behind which fixture; a parameter of a test with such a name counts as well."""

SLOW_VARIABLE: Final = "TIERCEL_TEST_SLOW"
"""What takes minutes to get when the run begins. All workers must put their tests into one order, so one looks."""
WORKER: Final = os.environ.get("PYTEST_XDIST_WORKER", "")

_missing: dict[str, str | None] = {}
"""What was tried: None for a service that is there, else why it is not."""
_begun: list[subprocess.Popen[bytes]] = []


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a broker."""
    with choice.kafka_address(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@pytest.fixture(scope="session")
def queue_settings(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Return what makes the environment of a server: on the queue that the run is for, with topics of its own."""
    if os.environ.get(choice.QUEUE_VARIABLE) != "kafka":
        return dict
    choice.prepare("kafka")
    address = request.getfixturevalue("kafka")
    return lambda: choice.on_kafka(address)


@pytest.fixture(scope="module")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """Yield a broker that tests may stop, kill and pause."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Address]:
    """Yield the address of an object store."""
    with choice.s3_address(tmp_path_factory.mktemp("minio")) as address:
        yield address


@pytest.fixture(scope="module")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """Yield a MinIO that tests may stop, kill and pause."""
    with MinioServer(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def compose() -> Program:
    """Return the loader of compose files that `docker compose` uses."""
    return tools.compose()


@pytest.fixture(scope="session")
def helm() -> Program:
    return tools.helm()


@pytest.fixture(scope="session")
def prometheus() -> Program:
    """Return Prometheus; promtool is beside it."""
    return tools.prometheus()


@pytest.fixture(scope="session")
def pgbouncer() -> Program:
    return tools.pgbouncer()


def _services(item: pytest.Item) -> set[str]:
    """Return which services a test needs."""
    names = set(getattr(item, "fixturenames", ()))
    if (call := getattr(item, "callspec", None)) is not None:
        names |= {value for value in call.params.values() if isinstance(value, str)}
    return {FIXTURES[name] for name in names & FIXTURES.keys()}


def pytest_configure() -> None:
    """Look once what takes long to get; workers inherit the answer."""
    if not WORKER:
        os.environ[SLOW_VARIABLE] = " ".join(filter(choice.takes_long, sorted(set(FIXTURES.values()))))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin at once with what takes minutes to get, and run its tests last."""
    slow = {service for item in items for service in _services(item)} & set(os.environ[SLOW_VARIABLE].split())
    if WORKER in ("", "gw0"):
        _begun.extend(choice.prepare_in_background(service) for service in sorted(slow))
    items.sort(key=lambda item: bool(_services(item) & slow))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Get the services of a test before its clock starts."""
    for service in _services(item) - _missing.keys():
        try:
            choice.prepare(service)
        except TiercelError as error:
            _missing[service] = str(error)
        else:
            _missing[service] = None
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose service cannot be had; in continuous integration it fails."""
    for service in sorted(_services(item)):
        if (reason := _missing.get(service)) is not None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{service} cannot be had: {reason}", pytrace=False)
            pytest.skip(f"{service} cannot be had")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested."""
    for service, reason in _missing.items():
        if reason is not None:
            terminalreporter.write_line(f"TESTS WITH {service.upper()} WERE LEFT OUT: {reason}", red=True, bold=True)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Learn from a worker what it has left out."""
    _missing.update(getattr(node, "workeroutput", {}).get("missing", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what is got in the background still (it goes on with the next run); tell the run what was left out."""
    for process in _begun:
        process.terminate()
        process.wait()
    if WORKER:
        session.config.workeroutput["missing"] = _missing
