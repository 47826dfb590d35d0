"""Files of namespaces: their revisions, and what moves and deletions do to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel.errors import Conflict
from tiercel.storage.local import LocalStorage
from tiercel.storage.namespace_files import NamespaceFolder, OnConflict


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path, durable=False)


@pytest.fixture
def files(storage: LocalStorage) -> NamespaceFolder:
    return NamespaceFolder(storage, "main", "company.team")


async def content(storage: LocalStorage, files: NamespaceFolder, path: str, revision: int | None = None) -> bytes:
    return await storage.read("main", await files.locate(path, revision))


async def test_every_content_is_a_revision(storage: LocalStorage, files: NamespaceFolder) -> None:
    """The present one lies where it always lay; earlier ones are not files of the namespace."""
    await files.put("sub/a.txt", b"one")
    await files.put("/sub/a.txt", b"two")

    assert [1, 2] == [each.revision for each in await files.revisions("sub/a.txt")]
    assert b"two" == await storage.read("main", "/company/team/_files/sub/a.txt")
    assert b"two" == await content(storage, files, "sub/a.txt", 2)
    assert b"one" == await content(storage, files, "sub/a.txt", 1)
    assert ["sub/a.txt"] == await files.paths()


async def test_a_deleted_file_can_be_had_again(storage: LocalStorage, files: NamespaceFolder) -> None:
    """Its revisions stay, also those of files in a folder that is deleted; a new file counts on."""
    await files.put("sub/a.txt", b"one")

    assert await files.delete("sub")
    assert not await files.delete("sub")

    assert [] == await files.paths()
    assert b"one" == await content(storage, files, "sub/a.txt", 1)
    await files.put("sub/a.txt", b"two")
    assert [1, 2] == [each.revision for each in await files.revisions("sub/a.txt")]


async def test_a_file_may_become_a_folder(storage: LocalStorage, files: NamespaceFolder) -> None:
    """Revisions of the one are not in the way of the other's."""
    await files.put("a", b"file")
    await files.delete("a")
    await files.put("a/1", b"inside")
    await files.put("a/1", b"inside again")

    assert b"file" == await content(storage, files, "a", 1)
    assert b"inside" == await content(storage, files, "a/1", 1)


async def test_revisions_move_with_their_file(storage: LocalStorage, files: NamespaceFolder) -> None:
    """A folder takes those of all its files along."""
    await files.put("old/a.txt", b"one")
    await files.put("old/a.txt", b"two")

    await files.move("old", "new")

    assert b"one" == await content(storage, files, "new/a.txt", 1)
    assert [] == await files.revisions("old/a.txt")


async def test_a_file_that_is_there_may_be_kept(files: NamespaceFolder) -> None:
    """SKIP leaves it, ERROR says so."""
    await files.put("a", b"one")

    assert not await files.put("a", b"two", OnConflict.SKIP)
    with pytest.raises(Conflict, match="already exists"):
        await files.put("a", b"two", OnConflict.ERROR)
    assert [1] == [each.revision for each in await files.revisions("a")]
