"""Backing services in containers: the engine is a fake, what it runs are the real ones."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from minio import Minio

from backing import __main__ as command
from backing import choice, containers, java, kafka, kafka_files, minio_files
from backing.containers import ENGINE_VARIABLE, IMAGES, OWNER_LABEL
from tests.architecture.tree import ROOT
from tests.patience import PATIENCE_S
from tests.unit.plugins.fake_engine import FakeEngine
from tiercel.errors import Unavailable

PID_MAX = 1 << 22
"""No process has a larger number."""


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address is given, and nobody knows yet which engine can be used."""
    for variable in (choice.KAFKA_VARIABLE, choice.S3_VARIABLE, "DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.delenv(variable, raising=False)
    containers._answers.cache_clear()
    containers._has_image.cache_clear()


@pytest.fixture
async def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeEngine]:
    folder = tmp_path / "engine"
    folder.mkdir()
    async with FakeEngine(folder).running() as fake:
        monkeypatch.setenv(ENGINE_VARIABLE, fake.host)
        fake.images |= set(IMAGES.values())
        yield fake


def programs() -> dict[str, list[str]]:
    """Return what the images start."""
    jars = kafka_files.jars()
    image = Path(__file__).with_name("kafka_image.py")
    run_minio = f'exec {minio_files.binary()} "$1" "$2" "127.0.0.1$3" "$4"'
    return {
        IMAGES["kafka"]: [sys.executable, str(image), str(java.find()[0]), str(jars), str(kafka._formatted(jars))],
        IMAGES["minio"]: ["sh", "-c", run_minio, "minio"],
    }


def use(address: AbstractContextManager[object], service: str) -> None:
    """Ask a service something that only a real one can answer."""
    with address as found:
        if service == "kafka_broker":
            assert isinstance(found, str)
            brokers = AdminClient({"bootstrap.servers": found}).list_topics(timeout=PATIENCE_S).brokers
            assert [found] == [f"{each.host}:{each.port}" for each in brokers.values()]
        else:
            assert isinstance(found, choice.S3Address)
            place = found.endpoint.partition("://")[2]
            client = Minio(place, found.access_key, found.secret_key, secure=False)
            client.make_bucket("bucket")
            client.put_object("bucket", "key", io.BytesIO(b"content"), 7)
            assert b"content" == client.get_object("bucket", "key").read()


@pytest.mark.parametrize("service", ["kafka_broker", "minio_server"])
async def test_where_an_engine_answers_the_service_runs_in_a_container(
    fake: FakeEngine, tmp_path: Path, service: str
) -> None:
    """Of the pinned version, at a port of its own, for this machine only; it is gone with its data afterwards."""
    fake.programs = programs()
    name, address = {
        "kafka_broker": ("kafka", choice.kafka_address(tmp_path)),
        "minio_server": ("minio", choice.s3_address(tmp_path)),
    }[service]

    await asyncio.to_thread(use, address, service)

    assert {} == fake.containers
    assert [IMAGES[name]] == [made.specification["Image"] for made in fake.made]
    bindings = fake.made[0].specification["HostConfig"]["PortBindings"]
    assert ["127.0.0.1"] == [each["HostIp"] for found in bindings.values() for each in found]
    assert not (tmp_path / "data").exists()


async def test_a_container_that_does_not_start_is_removed_and_its_last_words_are_shown(
    fake: FakeEngine, tmp_path: Path
) -> None:
    """The reason is in the message, and nothing is left on the machine."""
    fake.programs = {IMAGES["minio"]: ["sh", "-c", "echo the disk is full; exit 1"]}

    with pytest.raises(Unavailable, match=r"minio:RELEASE.*did not start.*\nthe disk is full"):
        await asyncio.to_thread(use, choice.s3_address(tmp_path), "minio_server")

    assert {} == fake.containers


async def test_containers_of_a_run_that_was_killed_are_removed_by_the_next_one(
    fake: FakeEngine, tmp_path: Path
) -> None:
    """Those of processes that live stay."""
    fake.programs = {IMAGES["minio"]: ["sh", "-c", "exit 1"]}
    with pytest.raises(Unavailable):
        await asyncio.to_thread(use, choice.s3_address(tmp_path), "minio_server")
    for number, owner in enumerate((str(PID_MAX + 1), "1")):
        left = fake.made[0]
        labels = {**left.specification["Labels"], OWNER_LABEL: owner}
        fake.containers[f"left-{number}"] = type(left)(
            f"left-{number}", {**left.specification, "Labels": labels}, tmp_path
        )

    with pytest.raises(Unavailable):
        await asyncio.to_thread(use, choice.s3_address(tmp_path), "minio_server")

    assert ["left-1"] == list(fake.containers)


async def test_an_image_that_is_missing_is_fetched_once(fake: FakeEngine) -> None:
    """By its version; then nothing has to be built."""
    fake.images = set()

    await asyncio.to_thread(choice.prepare, "minio")
    await asyncio.to_thread(choice.prepare, "minio")

    name, _, tag = IMAGES["minio"].rpartition(":")
    assert [(name, tag)] == [(pull["fromImage"], pull["tag"]) for pull in fake.pulls]


async def test_who_asks_whether_it_takes_long_has_nothing_fetched(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of tests that needs no object store must not wait for one."""
    monkeypatch.setattr(minio_files, "is_built", lambda: False)
    fake.images = set()

    assert not await asyncio.to_thread(choice.takes_long, "minio")
    assert await asyncio.to_thread(choice.takes_long, "own-minio")
    assert [] == fake.pulls


async def test_where_an_image_cannot_be_had_the_service_comes_from_the_registries(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the reason is said."""
    built: list[str] = []
    monkeypatch.setattr(choice, "PREPARATIONS", {"minio": lambda: built.append("minio")})
    fake.images = set()
    fake.pull_answers = [(404, '{"message": "no such image in this registry"}')]

    await asyncio.to_thread(choice.prepare, "minio")

    assert ["minio"] == built
    assert "no such image in this registry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "environment", "expected"),
    [
        ("minio", {choice.S3_VARIABLE: "http://a:b@store:9000"}, []),
        ("minio", {ENGINE_VARIABLE: "none"}, ["minio"]),
        ("minio", {ENGINE_VARIABLE: "unix:///no/such/socket"}, ["minio"]),
        ("own-minio", {choice.S3_VARIABLE: "http://a:b@store:9000"}, ["minio"]),
    ],
)
def test_without_an_engine_what_is_not_given_is_built(
    monkeypatch: pytest.MonkeyPatch, name: str, environment: dict[str, str], expected: list[str]
) -> None:
    """An address comes first, and an engine can be declined; who strikes a service needs one of our own."""
    built: list[str] = []
    monkeypatch.setattr(choice, "PREPARATIONS", {"minio": lambda: built.append("minio")})
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    choice.prepare(name)

    assert expected == built


async def test_an_address_that_is_given_comes_before_an_engine(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine is not asked."""
    monkeypatch.setenv(choice.KAFKA_VARIABLE, "broker:9092")

    with choice.kafka_address(tmp_path) as address:
        assert "broker:9092" == address
    choice.prepare("kafka")

    assert [] == fake.calls


def test_the_compose_file_names_the_same_versions() -> None:
    """What tests run against is what people are given."""
    text = (ROOT / "compose.kafka.yaml").read_text()

    for image in IMAGES.values():
        name, _, tag = image.removeprefix("docker.io/").rpartition(":")
        assert f"image: {name}:${{" in text
        assert f":-{tag}}}" in text


def test_an_unknown_service_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are; what is our own can be got, but is not run."""
    assert 2 == command.main(["run", "own-kafka"])
    assert "There is no service 'own-kafka'; there are kafka, minio." in capsys.readouterr().err
