"""Files of namespaces through the API: revisions, archives, moves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api_stage import Stage

FILES = "namespaces/company.team/files"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.close()


async def put(stage: Stage, path: str, content: bytes, name: str = "file", status: int = 200) -> str:
    sent = {"fileContent": (name, content)}
    return str(await stage.call("POST", f"{FILES}?path={path}", status, files=sent))


async def test_a_file_is_read_as_it_was(stage: Stage) -> None:
    """By the number of a revision, also after it was deleted; an unknown one is not there."""
    await put(stage, "/a.txt", b"one")
    await put(stage, "/a.txt", b"two")

    revisions = await stage.call("GET", f"{FILES}/revisions?path=/a.txt")
    assert [(1, 3), (2, 3)] == [(each["revision"], each["size"]) for each in revisions]
    assert "two" == await stage.call("GET", f"{FILES}?path=/a.txt")
    assert "one" == await stage.call("GET", f"{FILES}?path=/a.txt&revision=1")
    await stage.call("GET", f"{FILES}?path=/a.txt&revision=9", 404)

    await stage.call("DELETE", f"{FILES}?path=/a.txt")

    await stage.call("GET", f"{FILES}?path=/a.txt", 404)
    assert "two" == await stage.call("GET", f"{FILES}?path=/a.txt&revision=2")
    await stage.call("GET", f"{FILES}/revisions?path=/never.txt", 404)


async def test_an_archive_is_unpacked_into_its_folder(stage: Stage) -> None:
    """What is no archive, and names that lead out, are refused with a sentence."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("sub/a.txt", "packed")
    escaping = io.BytesIO()
    with zipfile.ZipFile(escaping, "w") as archive:
        archive.writestr("../../x.txt", "out")

    await put(stage, "/in/", packed.getvalue(), "files.zip")

    assert "packed" == await stage.call("GET", f"{FILES}?path=/in/sub/a.txt")
    assert "not a zip archive" in await put(stage, "/in/", b"no zip", "files.zip", 422)
    assert ".." in await put(stage, "/in/", escaping.getvalue(), "files.zip", 422)


async def test_a_moved_folder_keeps_its_revisions(stage: Stage) -> None:
    """Nothing is overwritten by a move."""
    await put(stage, "/old/a.txt", b"one")
    await put(stage, "/old/a.txt", b"two")
    await put(stage, "/taken.txt", b"x")

    await stage.call("PUT", f"{FILES}?from=/old&to=/new")

    assert "one" == await stage.call("GET", f"{FILES}?path=/new/a.txt&revision=1")
    await stage.call("PUT", f"{FILES}?from=/new/a.txt&to=/taken.txt", 409)
