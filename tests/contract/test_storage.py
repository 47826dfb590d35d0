"""
The contract of internal storage: what every adapter promises. A new adapter joins by a parameter of the fixture.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.bucket import START_TIMEOUT_S, bucket_of
from tiercel.errors import NotFound, Refused
from tiercel.storage.base import Storage
from tiercel.storage.local import LocalStorage
from tiercel.storage.s3.storage import S3Storage

TENANT = "main"
FILE = "kestra:///company/team/flow/file.txt"


@pytest.fixture(params=["local", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    if request.param == "local":
        adapter: Storage = LocalStorage(tmp_path / "storage")
    else:
        bucket = S3Storage(bucket_of(request.getfixturevalue("s3"), f"contract-{uuid.uuid4().hex}"))
        await bucket.check(START_TIMEOUT_S)
        adapter = bucket
    yield adapter
    await adapter.close()


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_stored_file_is_read_back(storage: Storage) -> None:
    """What is put is what is read, and the URI that put returns names it."""
    uri = await storage.put(TENANT, "/a/b.txt", b"content")

    assert "kestra:///a/b.txt" == uri
    assert b"content" == await storage.read(TENANT, uri)


async def test_a_stream_and_a_file_are_stored_as_bytes_are(storage: Storage, tmp_path: Path) -> None:
    """All forms of content give the same file."""
    path = tmp_path / "source"
    path.write_bytes(b"from a path")

    await storage.put(TENANT, FILE, path)
    assert b"from a path" == await storage.read(TENANT, FILE)
    await storage.put(TENANT, "/final", path, final=True)
    path.unlink()
    assert b"from a path" == await storage.read(TENANT, "/final")
    path.write_bytes(b"from an open file")
    with path.open("rb") as file:
        await storage.put(TENANT, FILE, file, final=True)
        assert b"from an open file" == await storage.read(TENANT, FILE)
        assert not file.closed
    await storage.put(TENANT, FILE, _chunks(b"from ", b"a stream"))
    assert b"from a stream" == await storage.read(TENANT, FILE)


async def test_a_large_file_comes_in_chunks(storage: Storage) -> None:
    """A stream never holds a whole large file."""
    size = 3 << 20
    await storage.put(TENANT, FILE, b"x" * size)

    async with storage.open(TENANT, FILE) as chunks:
        lengths = [len(chunk) async for chunk in chunks]

    assert sum(lengths) == size
    assert max(lengths) < size


async def test_a_file_of_many_parts_is_the_same_in_all_forms(storage: Storage, tmp_path: Path) -> None:
    """Sizes around the borders of parts, as bytes, files and a stream of odd chunks, come back whole."""
    part = 5 << 20
    for size in (part - 1, part, part + 1, 3 * part, 3 * part + 1):
        content = random.Random(size).randbytes(size)
        path = tmp_path / "large"
        path.write_bytes(content)
        odd = [content[at : at + 999_983] for at in range(0, size, 999_983)]

        for form in (content, path, path.open("rb"), _chunks(*odd)):
            await storage.put(TENANT, FILE, form)

            assert content == await storage.read(TENANT, FILE)
            for read_only in (False, True):
                assert size == await storage.fetch(TENANT, FILE, tmp_path / "fetched", read_only=read_only)
                assert content == (tmp_path / "fetched").read_bytes()
            assert size == (await storage.attributes(TENANT, FILE)).size


async def test_an_empty_file_is_a_file(storage: Storage, tmp_path: Path) -> None:
    """In all forms; it is read as nothing, in whole and in chunks."""
    (tmp_path / "empty").touch()
    for form in (b"", tmp_path / "empty", (tmp_path / "empty").open("rb"), _chunks()):
        await storage.put(TENANT, FILE, form)

        assert b"" == await storage.read(TENANT, FILE, limit=0)
        async with storage.open(TENANT, FILE) as chunks:
            assert [] == [chunk async for chunk in chunks if chunk]
        assert 0 == await storage.fetch(TENANT, FILE, tmp_path / "fetched")
        assert b"" == (tmp_path / "fetched").read_bytes()
        assert 0 == (await storage.attributes(TENANT, FILE)).size


async def test_a_reader_may_stop_at_any_time(storage: Storage) -> None:
    """Who has seen enough leaves; the file can be read again and replaced."""
    await storage.put(TENANT, FILE, b"x" * (20 << 20))

    async with storage.open(TENANT, FILE) as chunks:
        first = await anext(chunks)
    await storage.put(TENANT, FILE, b"new")

    assert b"x" == first[:1]
    assert b"new" == await storage.read(TENANT, FILE)


async def test_metadata_may_hold_any_text(storage: Storage) -> None:
    """Names are camelCase, values any text: a key's description is what its author wrote."""
    notes = {"description": " Maß & Ziel: 100 %  – 日本 ", "expirationDate": "2026-01-01", "a": "%41", "b": "x\ny"}

    await storage.put(TENANT, FILE, b"", metadata=notes)

    assert notes == (await storage.attributes(TENANT, FILE)).metadata
    assert [notes] == [child.metadata for child in await storage.children(TENANT, "/company/team/flow")]


async def test_a_made_folder_is_there_without_files(storage: Storage) -> None:
    """It is listed, is no file, and goes when it is deleted."""
    assert "kestra:///f/g" == await storage.make_directory(TENANT, "/f/g")

    assert await storage.exists(TENANT, "/f/g")
    assert "Directory" == (await storage.attributes(TENANT, "/f/g")).type
    assert [] == await storage.children(TENANT, "/f/g")
    assert [("g", "Directory")] == [(child.file_name, child.type) for child in await storage.children(TENANT, "/f")]
    assert [] == await storage.by_prefix(TENANT, "/f")
    assert ["kestra:///f/g/"] == await storage.by_prefix(TENANT, "/f", directories=True)
    assert await storage.delete(TENANT, "/f/g")
    assert not await storage.exists(TENANT, "/f/g")


async def test_a_missing_folder_is_not_found(storage: Storage) -> None:
    """Its children are those of nothing."""
    with pytest.raises(NotFound, match="kestra:///no"):
        await storage.children(TENANT, "kestra:///no")
    assert not await storage.delete(TENANT, "/no")
    assert [] == await storage.delete_by_prefix(TENANT, "/no")


async def test_a_folder_that_begins_like_another_is_another(storage: Storage) -> None:
    """`/f` is not the beginning of `/foo`."""
    await storage.put(TENANT, "/f/a", b"")
    await storage.put(TENANT, "/foo/b", b"")
    await storage.put(TENANT, "/f-1", b"")

    assert ["kestra:///f/a"] == await storage.by_prefix(TENANT, "/f")
    assert ["kestra:///f/a"] == await storage.delete_by_prefix(TENANT, "/f")
    assert await storage.exists(TENANT, "/foo/b")
    assert await storage.exists(TENANT, "/f-1")


async def test_a_moved_folder_takes_everything_along(storage: Storage) -> None:
    """What was below the one path is below the other."""
    await storage.put(TENANT, "/f/a", b"1", metadata={"k": "v"})
    await storage.put(TENANT, "/f/g/b", b"2")

    await storage.move(TENANT, "/f", "/new/f")

    assert ["kestra:///new/f/a", "kestra:///new/f/g/b"] == await storage.by_prefix(TENANT, "/new")
    assert {"k": "v"} == (await storage.attributes(TENANT, "/new/f/a")).metadata
    assert not await storage.exists(TENANT, "/f")


async def test_more_files_than_one_answer_holds_are_listed_and_deleted(storage: Storage) -> None:
    """A listing has no end at a thousand."""
    await asyncio.gather(*(storage.put(TENANT, f"/many/{number:04}", b"") for number in range(1_005)))

    assert 1_005 == len(await storage.children(TENANT, "/many"))
    assert 1_005 == len(await storage.delete_by_prefix(TENANT, "/many"))
    assert [] == await storage.by_prefix(TENANT, "/many")


async def test_a_path_may_hold_any_character(storage: Storage) -> None:
    """Spaces, signs of URLs and letters of all scripts are letters like others."""
    uri = "kestra:///f/ä b/+?#&=%41~日本 (1).txt"

    assert uri == await storage.put(TENANT, uri, b"1")
    assert b"1" == await storage.read(TENANT, uri)
    assert [uri] == await storage.by_prefix(TENANT, "/f")
    assert ["+?#&=%41~日本 (1).txt"] == [child.file_name for child in await storage.children(TENANT, "/f/ä b")]


async def test_a_missing_file_is_not_found(storage: Storage, tmp_path: Path) -> None:
    """Reading, streaming, fetching and asking about a file that is not there raise NotFound with its URI."""
    with pytest.raises(NotFound, match="kestra:///no/file"):
        await storage.read(TENANT, "kestra:///no/file")
    with pytest.raises(NotFound):
        async with storage.open(TENANT, "kestra:///no/file"):
            pass
    with pytest.raises(NotFound):
        await storage.fetch(TENANT, "kestra:///no/file", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    with pytest.raises(NotFound):
        await storage.attributes(TENANT, "kestra:///no/file")
    assert not await storage.exists(TENANT, "kestra:///no/file")


@pytest.mark.parametrize("uri", ["kestra:///../secret", "/a/../../b", "kestra:///a/..", "file:///etc/passwd", "/a/\0b"])
async def test_a_path_out_of_the_folder_is_refused(storage: Storage, uri: str) -> None:
    """No operation leaves the tenant's folder."""
    with pytest.raises(Refused):
        await storage.read(TENANT, uri)
    with pytest.raises(Refused):
        await storage.put(TENANT, uri, b"")


@pytest.mark.parametrize("tenant", ["", "..", "a/b", "."])
async def test_a_tenant_that_is_a_path_is_refused(storage: Storage, tenant: str) -> None:
    """A tenant's name cannot lead to the files of another."""
    with pytest.raises(Refused):
        await storage.read(tenant, FILE)


async def test_tenants_do_not_see_each_other(storage: Storage) -> None:
    """The same path is another file for every tenant."""
    await storage.put("one", FILE, b"1")
    await storage.put("two", FILE, b"2")

    assert b"1" == await storage.read("one", FILE)
    assert b"2" == await storage.read("two", FILE)


async def test_a_failed_stream_leaves_the_old_file(storage: Storage) -> None:
    """A file is replaced as a whole or not at all, and nothing is left of the attempt."""
    await storage.put(TENANT, FILE, b"old")

    async def broken() -> AsyncIterator[bytes]:
        yield b"new"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        await storage.put(TENANT, FILE, broken())
    assert b"old" == await storage.read(TENANT, FILE)
    assert ["file.txt"] == [file.file_name for file in await storage.children(TENANT, "/company/team/flow")]


async def test_metadata_is_kept_with_the_file_and_replaced_with_it(storage: Storage) -> None:
    """Metadata belongs to one content."""
    await storage.put(TENANT, FILE, b"1", metadata={"expirationDate": "2026-01-01T00:00:00+00:00"})
    first = await storage.attributes(TENANT, FILE)
    await storage.put(TENANT, FILE, b"22")
    second = await storage.attributes(TENANT, FILE)

    assert {"expirationDate": "2026-01-01T00:00:00+00:00"} == first.metadata
    assert (first.size, first.type, first.file_name) == (1, "File", "file.txt")
    assert second.metadata is None
    assert 2 == second.size


async def test_a_read_over_its_limit_is_refused(storage: Storage) -> None:
    """A limit guards memory; a file of exactly that size is read."""
    await storage.put(TENANT, FILE, b"12345")

    assert b"12345" == await storage.read(TENANT, FILE, limit=5)
    with pytest.raises(Refused, match="larger than 4 bytes"):
        await storage.read(TENANT, FILE, limit=4)


async def test_listing_shows_files_and_folders_but_no_notes(storage: Storage) -> None:
    """Children are direct and in order; metadata is no file."""
    await storage.put(TENANT, "/f/b.txt", b"", metadata={"a": "b"})
    await storage.put(TENANT, "/f/sub/c.txt", b"")
    await storage.put(TENANT, "/f/a.txt", b"")

    assert [
        ("a.txt", "File"),
        ("b.txt", "File"),
        ("sub", "Directory"),
    ] == [(child.file_name, child.type) for child in await storage.children(TENANT, "/f")]
    assert ["kestra:///f/a.txt", "kestra:///f/b.txt", "kestra:///f/sub/c.txt"] == await storage.by_prefix(TENANT, "/f")
    assert [] == await storage.by_prefix(TENANT, "/nothing")


async def test_deleting_tells_whether_something_was_there(storage: Storage) -> None:
    """A file is deleted once; a folder with everything in it."""
    await storage.put(TENANT, "/f/a", b"")
    await storage.put(TENANT, "/f/g/b", b"")

    assert await storage.delete(TENANT, "/f/a")
    assert not await storage.delete(TENANT, "/f/a")
    assert ["kestra:///f/g/b"] == await storage.delete_by_prefix(TENANT, "/f")
    assert not await storage.exists(TENANT, "/f/g/b")
    with pytest.raises(Refused):
        await storage.delete(TENANT, "/")


async def test_a_moved_file_keeps_its_metadata(storage: Storage) -> None:
    """Moving gives another path, nothing else."""
    await storage.put(TENANT, "/f/a", b"1", metadata={"k": "v"})

    assert "kestra:///g/b" == await storage.move(TENANT, "/f/a", "/g/b")
    assert b"1" == await storage.read(TENANT, "/g/b")
    assert {"k": "v"} == (await storage.attributes(TENANT, "/g/b")).metadata
    assert not await storage.exists(TENANT, "/f/a")
    with pytest.raises(NotFound):
        await storage.move(TENANT, "/f/a", "/g/c")


async def test_a_file_cannot_be_a_folder_too(storage: Storage) -> None:
    """A path below a file, or a file in a folder's place, is refused with a sentence."""
    await storage.put(TENANT, "/f/a", b"1")

    with pytest.raises(Refused):
        await storage.put(TENANT, "/f/a/b", b"")
    with pytest.raises(Refused):
        await storage.put(TENANT, "/f", b"")


async def test_a_very_long_name_is_stored(storage: Storage) -> None:
    """Names longer than file systems allow are kept apart all the same."""
    first, second = f"/f/{'ä' * 300}1.txt", f"/f/{'ä' * 300}2.txt"

    await storage.put(TENANT, first, b"1")
    await storage.put(TENANT, second, b"2")
    assert (await storage.read(TENANT, first), await storage.read(TENANT, second)) == (b"1", b"2")


async def test_concurrent_writers_leave_one_whole_file(storage: Storage) -> None:
    """Of writers at the same time one wins; their contents do not mix."""
    contents = [bytes([65 + number]) * 300_000 for number in range(8)]

    await asyncio.gather(*(storage.put(TENANT, FILE, content) for content in contents))
    assert await storage.read(TENANT, FILE) in contents
