"""Local storage keeps a file of the disk itself where nobody can write to it any more, and a copy everywhere else."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tiercel.storage.local import LocalStorage

TENANT = "main"
URI = "kestra:///flow/rows.txt"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage")


def made(tmp_path: Path) -> Path:
    """Make a file of long ago."""
    path = tmp_path / "rows.txt"
    path.write_bytes(b"rows")
    os.utime(path, (0, 0))
    return path


def stored(tmp_path: Path) -> Path:
    return tmp_path / "storage" / TENANT / "flow" / "rows.txt"


async def test_a_final_file_is_kept_itself(storage: LocalStorage, tmp_path: Path) -> None:
    """It is not copied, looks as a copy does, and stays when the one who made it removes it."""
    source = made(tmp_path)
    source.chmod(0o777)

    await storage.put(TENANT, URI, source, final=True)
    copy = await storage.put(TENANT, "/flow/copy.txt", b"rows")

    assert stored(tmp_path).samefile(source)
    is_to_be, found = await storage.attributes(TENANT, copy), await storage.attributes(TENANT, URI)
    assert abs(is_to_be.last_modified_time - found.last_modified_time).total_seconds() < 60
    assert stored(tmp_path).stat().st_mode == stored(tmp_path).with_name("copy.txt").stat().st_mode
    source.unlink()
    assert b"rows" == await storage.read(TENANT, URI)


async def test_an_open_file_that_is_final_is_kept_itself(storage: LocalStorage, tmp_path: Path) -> None:
    """It is the open file that counts, whatever has its path meanwhile."""
    source = made(tmp_path)
    with source.open("rb") as file:
        source.unlink()
        source.symlink_to("/dev/null")
        await storage.put(TENANT, URI, file, final=True)

    assert b"rows" == await storage.read(TENANT, URI)


async def test_a_file_that_is_not_said_to_be_final_is_copied(storage: LocalStorage, tmp_path: Path) -> None:
    """What is written to it later is not in storage."""
    source = made(tmp_path)
    await storage.put(TENANT, URI, source)
    source.write_bytes(b"changed")

    assert b"rows" == stored(tmp_path).read_bytes()


@pytest.mark.parametrize("reason", ["a writer", "another name", "another disk", "another owner"])
async def test_a_final_file_that_could_change_or_is_elsewhere_is_copied(
    reason: str, storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that outlives its task, or a link made before, would reach what is stored."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    source = made(tmp_path)
    if reason == "another disk":
        monkeypatch.setattr(os, "link", refuse)
    elif reason == "another name":
        (tmp_path / "name").hardlink_to(source)
    elif reason == "another owner":
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with source.open("ab", buffering=0) as writer:
        if reason != "a writer":
            writer.close()
        await storage.put(TENANT, URI, source, final=True)
        if reason == "a writer":
            writer.write(b" and more")

    assert not stored(tmp_path).samefile(source)
    assert b"rows" == await storage.read(TENANT, URI)
    assert [stored(tmp_path)] == list(stored(tmp_path).parent.iterdir())


async def test_a_file_that_is_only_read_is_not_copied(storage: LocalStorage, tmp_path: Path) -> None:
    """Whoever may write to it gets a copy, and a target that is there already is replaced."""
    await storage.put(TENANT, URI, b"rows")
    own, shared, there = tmp_path / "own", tmp_path / "shared", tmp_path / "there"
    there.write_bytes(b"something longer")

    assert [4, 4, 4] == [
        await storage.fetch(TENANT, URI, own),
        await storage.fetch(TENANT, URI, shared, read_only=True),
        await storage.fetch(TENANT, URI, there, read_only=True),
    ]

    assert [False, True, False] == [stored(tmp_path).samefile(path) for path in (own, shared, there)]
    assert [b"rows"] * 3 == [path.read_bytes() for path in (own, shared, there)]


async def test_a_file_in_use_is_not_changed_by_a_new_one(storage: LocalStorage, tmp_path: Path) -> None:
    """Storing under the same URI makes a new file: who reads the old one goes on with it."""
    await storage.put(TENANT, URI, b"old")
    await storage.fetch(TENANT, URI, tmp_path / "shared", read_only=True)
    await storage.put(TENANT, URI, b"new")

    assert b"old" == (tmp_path / "shared").read_bytes()
    assert b"new" == await storage.read(TENANT, URI)
