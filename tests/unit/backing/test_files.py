"""How Kafka and MinIO are got: whole, checked, once."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import pytest

from backing import cache, choice, containers, java, kafka_files, minio_files
from backing.minio import S3Address
from tests.architecture.tree import ROOT
from tiercel.errors import InvalidSettings


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty cache, and no container engine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(containers.ENGINE_VARIABLE, containers.NO_ENGINE)
    return cache.root()


def _count(folder: Path) -> None:
    with (folder.parent / "count").open("a") as count:
        count.write("made\n")
    (folder / "file").write_text("whole")


def _ask(_: int) -> str:
    return (cache.kept("thing", _count) / "file").read_text()


def test_when_several_processes_ask_at_once_it_is_made_once(own_cache: Path) -> None:
    """Who comes while it is made waits and gets the same."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.map(_ask, range(8), chunksize=1)

    assert ["whole"] * 8 == found
    assert "made\n" == (own_cache / "count").read_text()


def test_when_making_fails_nothing_is_left(own_cache: Path) -> None:
    """A folder of the cache is whole or not there; the next one who asks makes it."""

    def broken(folder: Path) -> None:
        (folder / "half").write_text("")
        raise cache.NotObtainable("The network is away.")

    with pytest.raises(cache.NotObtainable):
        cache.kept("thing", broken)

    assert ["thing.lock"] == [path.name for path in own_cache.iterdir()]
    assert "whole" == _ask(0)


def test_when_a_jar_is_not_what_the_lock_says_it_is_refused_by_name(own_cache: Path) -> None:
    """What was changed on its way or on the disk does not run; the sentence says which file and what to do."""
    folder = own_cache / f"kafka-{kafka_files.VERSION}"
    folder.mkdir(parents=True)
    for jar in kafka_files.locked_jars():
        (folder / jar.file_name).write_bytes(b"something else")

    with pytest.raises(cache.NotObtainable, match=r"\.jar' is not the jar that 'kafka\.lock' names.*Delete the folder"):
        kafka_files.jars()


def test_when_there_is_no_maven_the_sentence_names_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that cannot get Kafka says so, instead of a stack trace."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(cache.NotObtainable, match=r"install Maven and Java 17, or name a broker in TIERCEL_TEST_KAFKA"):
        choice.prepare("kafka")


def test_when_a_tool_fails_its_last_words_are_shown() -> None:
    """The reason is in the message, not in a file that nobody knows of."""
    with pytest.raises(cache.NotObtainable, match=r"Getting it failed: 'sh' ended with 3:\nno such host"):
        cache.run(["sh", "-c", "echo no such host; exit 3"], "Getting it")


def test_the_lock_names_the_version_that_is_pinned() -> None:
    """Each jar has a checksum; what was asked for is among them."""
    lock = kafka_files.locked_jars()

    assert set() == set(kafka_files.ROOTS) - {jar.coordinates for jar in lock}
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in lock)
    assert len(lock) == len({jar.file_name for jar in lock})


def test_the_module_of_minio_pins_its_version_and_all_sums() -> None:
    """The version is a date and a commit; go.sum knows the module."""
    date, _, commit = minio_files.version().partition("-")

    assert re.fullmatch(r"20\d{6}", date)
    assert f"-{commit} h1:" in (minio_files.MODULE / "go.sum").read_text()


def test_an_s3_address_is_read_as_it_is_written() -> None:
    """Key and secret may hold any character."""
    address = S3Address(endpoint="https://store:9000", access_key="a/b", secret_key="c:@d")

    assert address == S3Address.read(address.url)


@pytest.mark.parametrize("url", ["store:9000", "http://store:9000", "http://key@store", "ftp://a:b@c"])
def test_an_s3_address_without_a_part_is_refused(url: str) -> None:
    """The sentence shows how an address looks."""
    with pytest.raises(InvalidSettings, match="is not an address like 'http://key:secret@host:port'"):
        S3Address.read(url)


def test_nothing_of_the_product_knows_backing_services() -> None:
    """They are for tests, demonstrations and measurements."""
    product = [path for root in ("shared", "services") for path in (ROOT / root).rglob("*.py")]

    assert [] == [path.name for path in product if re.search(r"(?m)^\s*(from|import) backing\b", path.read_text())]


def test_the_newest_java_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are compared as numbers, and one that is too old is none."""
    for number in (9, 17, 21):
        folder = tmp_path / str(number) / "bin"
        folder.mkdir(parents=True)
        (folder / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{number}.0.1\"' >&2\n")
        (folder / "java").chmod(0o755)
    monkeypatch.setattr(java, "_installed", lambda: tmp_path.glob("*/bin/java"))

    assert (tmp_path / "21" / "bin" / "java", "21.0.1") == java.find.__wrapped__()
