"""
Internal storage over keys: `<prefix><tenant>/<path>`. A folder is there as long as a key lies below it, or an empty
object named like it, with `/` at the end, holds its place.

A bucket would let a file be a folder too. We do not, as a disk does not, so that files can move between storages: the
folders above a new file are looked at once and remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from minio.commonconfig import ComposeSource, CopySource
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject

from tiercel.errors import NotFound, Refused, Unavailable
from tiercel.storage import place, uris
from tiercel.storage.base import Content, FileAttributes
from tiercel.storage.s3 import metadata as notes
from tiercel.storage.s3.client import S3Client
from tiercel.storage.s3.download import Download
from tiercel.storage.s3.settings import S3Settings
from tiercel.storage.s3.upload import Upload

KEY_MAX: Final = 1024
"""Bytes of a key that S3 allows."""
COPY_MAX: Final = 5 << 30
"""Bytes that one request can copy; more is copied in parts."""
DELETE_MAX: Final = 1000
"""Keys that one request can delete."""
FOLDERS_REMEMBERED: Final = 10_000
"""Folders of which it is known that no file has their place; the oldest are looked at again."""
QUESTIONS_MAX: Final = 64
"""Requests that one listing has under way; how many run is the connections' matter."""

T = TypeVar("T")


class S3Storage:
    """Keeps files in a bucket."""

    def __init__(self, settings: S3Settings, *, patient: bool = True) -> None:
        self._client = S3Client(settings, patient=patient)
        self._folders: OrderedDict[str, None] = OrderedDict()

    async def check(self, timeout_s: float) -> None:
        """Find or make the bucket, and write to it; raise InvalidSettings with what the operator must change."""
        await self._client.check(timeout_s)

    async def ping(self) -> str | None:
        """Return None when files can be had now, else why not."""
        return await self._client.ping()

    @contextlib.asynccontextmanager
    async def open(self, tenant_id: str, uri: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a file's content in chunks."""
        download = Download(self._client, self._file_key(tenant_id, uri), uri)
        first = await download.begin()
        try:
            yield download.chunks(first)
        finally:
            await download.close()

    async def fetch(self, tenant_id: str, uri: str, target: Path, *, read_only: bool = False) -> int:
        """Write a file's content to a path of the disk, several ranges at a time."""
        return await Download(self._client, self._file_key(tenant_id, uri), uri).to_file(target)

    async def read(self, tenant_id: str, uri: str, *, limit: int | None = None) -> bytes:
        """Return a file's content; raise Refused when it is larger than `limit` bytes."""
        download = Download(self._client, self._file_key(tenant_id, uri), uri)
        first = await download.begin()
        if limit is not None and first.size > limit:
            raise place.too_large(uri, limit)
        try:
            return b"".join([chunk async for chunk in download.chunks(first)])
        finally:
            await download.close()

    async def put(
        self,
        tenant_id: str,
        uri: str,
        content: Content,
        *,
        metadata: Mapping[str, str] | None = None,
        final: bool = False,
    ) -> str:
        """Store a file (replacing it as a whole), return its URI."""
        key = self._file_key(tenant_id, uri)
        await self._check_place(key, uri)
        await Upload(self._client, key, uri, notes.headers(metadata)).run(content)
        return uris.uri(uris.path_of(uri))

    async def exists(self, tenant_id: str, uri: str) -> bool:
        """Tell whether a file or folder is there."""
        try:
            await self.attributes(tenant_id, uri)
        except NotFound:
            return False
        return True

    async def attributes(self, tenant_id: str, uri: str) -> FileAttributes:
        """Return what is known of a file or folder."""
        key = self._key(tenant_id, uri)
        if (found := await self._file(key)) is not None:
            return _of_file(found)
        inside = await self._first_below(key)
        if inside is None:
            raise place.missing(uri)
        return _of_folder(key, inside.last_modified)

    async def children(self, tenant_id: str, uri: str) -> list[FileAttributes]:
        """Return the direct children of a folder, by name."""
        folder = self._key(tenant_id, uri) + "/"
        listed = await self._listed(folder, recursive=False)
        if not listed:
            raise place.missing(uri)
        inside = [found for found in listed if found.object_name != folder]
        # A listing has no metadata, so each file is asked for them.
        files = [found.object_name or "" for found in inside if not found.is_dir]
        known = [_of_file(found) for found in await self._files(files) if found is not None]
        known += [_of_folder(found.object_name or "", found.last_modified) for found in inside if found.is_dir]
        return sorted(known, key=lambda child: child.file_name)

    async def by_prefix(self, tenant_id: str, prefix: str, *, directories: bool = False) -> list[str]:
        """Return the URIs of everything below a folder; those of folders end with `/`."""
        folder = self._key(tenant_id, prefix) + "/"
        root = len(self._key(tenant_id, "/"))
        keys = {found.object_name or "" for found in await self._listed(folder)}
        if directories:
            keys |= {above for key in keys for above in _above(key) if len(above) > len(folder)}
        else:
            keys = {key for key in keys if not key.endswith("/")}
        return [uris.uri(key[root:]) for key in sorted(keys - {folder})]

    async def delete(self, tenant_id: str, uri: str) -> bool:
        """Delete a file, or a folder with everything in it; False when it was not there."""
        key = self._file_key(tenant_id, uri, "The root of a tenant's storage cannot be deleted; name a folder in it.")
        if await self._file(key) is not None:
            await self._client.call(self._client.minio.remove_object, self._client.bucket, key)
            return True
        below = await self._listed(key + "/")
        await self._delete(found.object_name or "" for found in below)
        return bool(below)

    async def delete_by_prefix(self, tenant_id: str, prefix: str) -> list[str]:
        """Delete everything below a folder; return the URIs of its files."""
        found = await self.by_prefix(tenant_id, prefix)
        await self.delete(tenant_id, prefix)
        return found

    async def make_directory(self, tenant_id: str, uri: str) -> str:
        """Make a folder and those above it."""
        key = self._file_key(tenant_id, uri)
        for above in (*_above(key), key + "/"):
            if await self._file(above.removesuffix("/")) is not None:
                raise Refused(f"'{uri}' cannot be a folder: there is a file in its place.")
        await Upload(self._client, key + "/", uri, {}).run(b"")
        return uris.uri(uris.path_of(uri))

    async def move(self, tenant_id: str, source: str, target: str) -> str:
        """Give a file or folder another path."""
        old, new = self._file_key(tenant_id, source), self._file_key(tenant_id, target)
        await self._check_place(new, target)
        if (found := await self._file(old)) is not None:
            moved = [(found, new)]
        else:
            moved = [(each, new + (each.object_name or "")[len(old) :]) for each in await self._listed(old + "/")]
        if not moved:
            raise place.missing(source)
        for each, key in moved:
            await self._copy(each, key, source)
        await self._delete(each.object_name or "" for each, _ in moved)
        return uris.uri(uris.path_of(target))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _key(self, tenant_id: str, uri: str) -> str:
        key = self._client.prefix + "/".join(place.names(tenant_id, uri))
        if len(key.encode()) > KEY_MAX:
            raise Refused(
                f"The path '{uri}' is too long: an object store allows {KEY_MAX} bytes with tenant and prefix."
            )
        return key

    def _file_key(self, tenant_id: str, uri: str, otherwise: str | None = None) -> str:
        """Return a key that is not the tenant's root."""
        key = self._key(tenant_id, uri)
        if len(place.names(tenant_id, uri)) == 1:
            raise Refused(otherwise or f"'{uri}' names no file.")
        return key

    async def _check_place(self, key: str, uri: str) -> None:
        """Raise Refused when the key lies below a file, or has the place of a folder."""
        above = [folder for folder in _above(key) if folder not in self._folders]
        files = await self._files([folder.removesuffix("/") for folder in above])
        for folder, found in zip(above, files, strict=True):
            if found is not None:
                raise Refused(f"'{folder.split('/')[-2]}' is a file; nothing can be stored below it.")
        if await self._first_below(key) is not None:
            raise Refused(f"'{uri}' is a folder; a file cannot take its place.")
        for folder in _above(key):
            self._folders[folder] = None
            self._folders.move_to_end(folder)
        while len(self._folders) > FOLDERS_REMEMBERED:
            self._folders.popitem(last=False)

    async def _file(self, key: str) -> Object | None:
        """Return what the store knows of a file, None when it is not there."""
        try:
            return await self._client.call(self._client.minio.stat_object, self._client.bucket, key, uri=key)
        except NotFound:
            return None

    async def _files(self, keys: list[str]) -> list[Object | None]:
        """Return the same of several files."""
        found: list[Object | None] = []
        for batch in _batches(keys, QUESTIONS_MAX):
            found += await asyncio.gather(*map(self._file, batch))
        return found

    async def _first_below(self, key: str) -> Object | None:
        found = await self._listed(key + "/", only_first=True)
        return found[0] if found else None

    async def _listed(self, folder: str, *, recursive: bool = True, only_first: bool = False) -> list[Object]:
        """Return the objects below a folder, in the order of their keys."""

        def read() -> list[Object]:
            delimiter = None if recursive else "/"
            found = self._client.minio._list_objects(
                self._client.bucket, prefix=folder, delimiter=delimiter, max_keys=1 if only_first else None
            )
            return list(islice(found, 1) if only_first else found)

        return await self._client.call(read)

    async def _delete(self, keys: Iterable[str]) -> None:
        def delete(batch: list[str]) -> None:
            for error in self._client.minio.remove_objects(self._client.bucket, map(DeleteObject, batch)):
                raise Unavailable(f"'{error.name}' could not be deleted: {error.code}: {error.message}")

        for batch in _batches(keys, DELETE_MAX):
            await self._client.call(delete, batch)

    async def _copy(self, source: Object, key: str, uri: str) -> None:
        minio, bucket, sse = self._client.minio, self._client.bucket, self._client.encryption
        name = source.object_name or ""
        if (source.size or 0) <= COPY_MAX:
            await self._client.call(minio.copy_object, bucket, key, CopySource(bucket, name), sse=sse, uri=uri)
            return
        full = await self._file(name)  # a listing has no metadata, and a copy in parts takes none along
        kept = notes.headers(notes.read(full.metadata if full else None))
        parts = [ComposeSource(bucket, name)]
        await self._client.call(minio.compose_object, bucket, key, parts, sse=sse, metadata=kept, uri=uri)


def _above(key: str) -> Iterator[str]:
    """Yield the folders above a key, the tenant's first, with `/` at their ends."""
    end = key.find("/")
    while end != -1 and end + 1 < len(key):
        yield key[: end + 1]
        end = key.find("/", end + 1)


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def _of_file(found: Object) -> FileAttributes:
    modified = _moment(found.last_modified)
    return FileAttributes(
        file_name=(found.object_name or "").rpartition("/")[2],
        last_modified_time=modified,
        creation_time=modified,  # an object is never changed in place
        type="File",
        size=found.size or 0,
        metadata=notes.read(found.metadata),
    )


def _of_folder(key: str, changed: datetime | None) -> FileAttributes:
    return FileAttributes(
        file_name=key.rstrip("/").rpartition("/")[2],
        last_modified_time=_moment(changed),
        creation_time=_moment(changed),
        type="Directory",
        size=0,
    )


def _moment(instant: datetime | None) -> datetime:
    """Return a time that is not None: folders of a listing have none."""
    return instant or datetime.fromtimestamp(0, UTC)
