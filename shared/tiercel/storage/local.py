"""
Internal storage in a folder of a disk: `<base path>/<tenant>/<path>`, metadata beside a file in `<file>.metadata`.

Writes are atomic: a file is written under a temporary name in the same folder, brought to disk, and renamed. All disk
work runs in threads; contents pass in chunks, so that memory stays bounded whatever the size of a file.

A file that is on the same disk already and is `final` is not copied: it gets a second name (a hard link).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Final

from tiercel.errors import NotFound, Refused
from tiercel.storage import place, uris
from tiercel.storage.base import Content, FileAttributes

CHUNK: Final = 256 * 1024
"""Bytes that are in memory of one stream at a time."""
SENT_AT_ONCE: Final = 64 << 20
"""Bytes that the kernel copies in one call."""
_METADATA: Final = ".metadata"
_TEMPORARY: Final = ".tiercel-"


class LocalStorage:
    """Keeps files below a folder."""

    def __init__(self, base_path: Path | str, *, durable: bool = True) -> None:
        self._base = Path(base_path).absolute()
        self._durable = durable
        self._numbers = 0

    def _locate(self, tenant_id: str, uri: str) -> Path:
        return self._base.joinpath(*place.names(tenant_id, uri))

    def _temporary(self, target: Path) -> Path:
        self._numbers += 1
        return target.parent / f"{_TEMPORARY}{os.getpid()}-{self._numbers}-{os.urandom(4).hex()}"

    @contextlib.asynccontextmanager
    async def open(self, tenant_id: str, uri: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a file's content in chunks."""
        path = self._locate(tenant_id, uri)
        file = await asyncio.to_thread(_opened, path, uri)
        try:
            yield _chunks(file)
        finally:
            await asyncio.to_thread(file.close)

    async def fetch(self, tenant_id: str, uri: str, target: Path, *, read_only: bool = False) -> int:
        """Write a file's content to a path of the disk (the kernel copies), or link it there when it is only read."""
        return await asyncio.to_thread(_fetch, self._locate(tenant_id, uri), uri, target, read_only)

    async def read(self, tenant_id: str, uri: str, *, limit: int | None = None) -> bytes:
        """Return a file's content; raise Refused when it is larger than `limit` bytes."""
        return await asyncio.to_thread(_read, self._locate(tenant_id, uri), uri, limit)

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
        target = self._locate(tenant_id, uri)
        if target == self._base / tenant_id:
            raise Refused(f"'{uri}' names no file.")
        if isinstance(content, bytes | Path | BufferedReader):
            await asyncio.to_thread(self._put, target, content, metadata, final)
        else:
            await self._stream(target, content, metadata)
        return uris.uri(uris.path_of(uri))

    def _put(
        self, target: Path, content: bytes | Path | BufferedReader, metadata: Mapping[str, str] | None, final: bool
    ) -> None:
        if isinstance(content, Path):
            with content.open("rb") as source:
                self._put(target, source, metadata, final)
            return
        temporary = self._temporary(target)
        try:
            if isinstance(content, bytes):
                with _created(temporary) as file:
                    file.write(content)
                    self._settle(file)
            elif final and _link(content, temporary):
                self._settle(content)
            else:
                with _created(temporary) as file:
                    _pour(content, file)
                    self._settle(file)
            self._publish(temporary, target, metadata)
        except BaseException:  # cancelled too: nothing half-written is left
            _discard(temporary)
            raise

    async def _stream(self, target: Path, content: AsyncIterator[bytes], metadata: Mapping[str, str] | None) -> None:
        temporary = self._temporary(target)
        file = await asyncio.to_thread(_created, temporary)
        try:
            async for chunk in content:
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(self._settle, file)
            file.close()
            await asyncio.to_thread(self._publish, temporary, target, metadata)
        except BaseException:  # cancelled too: nothing half-written is left
            file.close()
            _discard(temporary)
            raise

    def _settle(self, file: BinaryIO) -> None:
        """Bring what was written to the disk."""
        file.flush()
        if self._durable:
            os.fdatasync(file.fileno())

    def _publish(self, temporary: Path, target: Path, metadata: Mapping[str, str] | None) -> None:
        if target.is_dir():
            raise Refused(f"'{target.name}' is a folder; a file cannot take its place.")
        # Metadata first: who sees the new content must not read an older expiry with it.
        beside = _beside(target)
        if metadata:
            note = self._temporary(target)
            note.write_text(json.dumps(dict(metadata)))
            note.replace(beside)
        else:
            beside.unlink(missing_ok=True)
        temporary.replace(target)

    async def exists(self, tenant_id: str, uri: str) -> bool:
        """Tell whether a file or folder is there."""
        return await asyncio.to_thread(self._locate(tenant_id, uri).exists)

    async def attributes(self, tenant_id: str, uri: str) -> FileAttributes:
        """Return what is known of a file or folder."""
        return await asyncio.to_thread(_attributes, self._locate(tenant_id, uri), uri)

    async def children(self, tenant_id: str, uri: str) -> list[FileAttributes]:
        """Return the direct children of a folder, by name."""
        return await asyncio.to_thread(_children, self._locate(tenant_id, uri), uri)

    async def by_prefix(self, tenant_id: str, prefix: str, *, directories: bool = False) -> list[str]:
        """Return the URIs of everything below a folder; those of folders end with `/`."""
        root = self._base / tenant_id
        folder = self._locate(tenant_id, prefix)
        return await asyncio.to_thread(lambda: [uris.uri(f"/{name}") for name in _below(folder, root, directories)])

    async def delete(self, tenant_id: str, uri: str) -> bool:
        """Delete a file, or a folder with everything in it; False when it was not there."""
        path = self._locate(tenant_id, uri)
        if path == self._base / tenant_id:
            raise Refused("The root of a tenant's storage cannot be deleted; name a folder in it.")
        return await asyncio.to_thread(_delete, path)

    async def delete_by_prefix(self, tenant_id: str, prefix: str) -> list[str]:
        """Delete everything below a folder; return the URIs of its files."""
        found = await self.by_prefix(tenant_id, prefix)
        await self.delete(tenant_id, prefix)
        return found

    async def make_directory(self, tenant_id: str, uri: str) -> str:
        """Make a folder and those above it."""
        path = self._locate(tenant_id, uri)
        try:
            await asyncio.to_thread(lambda: path.mkdir(parents=True, exist_ok=True))
        except (FileExistsError, NotADirectoryError) as error:
            raise Refused(f"'{uri}' cannot be a folder: there is a file in its place.") from error
        return uris.uri(uris.path_of(uri))

    async def move(self, tenant_id: str, source: str, target: str) -> str:
        """Give a file or folder another path."""
        await asyncio.to_thread(_move, self._locate(tenant_id, source), self._locate(tenant_id, target), source)
        return uris.uri(uris.path_of(target))

    async def close(self) -> None:
        """Nothing is held open."""


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _METADATA)


def _opened(path: Path, uri: str) -> BinaryIO:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise place.missing(uri) from error


def _created(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except (FileNotFoundError, NotADirectoryError):
        _make_folder(path)
        return path.open("xb")


def _discard(path: Path) -> None:
    """Remove a file if there is one; that it cannot be removed hides no other failure."""
    with contextlib.suppress(OSError):
        path.unlink()


def _make_folder(path: Path) -> None:
    """Make the folder of a file; raise Refused when a file is in its place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Refused(f"'{path.parent.name}' is a file; nothing can be stored below it.") from error


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk


def _fetch(path: Path, uri: str, target: Path, read_only: bool) -> int:
    if read_only:
        with contextlib.suppress(OSError):  # another disk, or one without links; that it is missing shows below
            os.link(path, target)
            return target.stat().st_size
    with _opened(path, uri) as source, target.open("wb") as file:
        return _pour(source, file)


def _link(source: BufferedReader, path: Path) -> bool:
    """Give a file a second name, as new as a copy would be; False when it must be copied."""
    found = os.fstat(source.fileno())
    # Under another name, from another user or a process that still has it open it could be changed when it is stored.
    if found.st_nlink != 1 or found.st_uid != os.geteuid() or _may_be_written(source):
        return False
    _make_folder(path)
    try:
        # Python follows the link of /proc only when it is told of a folder, which an absolute path has no use for.
        os.link(f"/proc/self/fd/{source.fileno()}", path, src_dir_fd=source.fileno())
    except OSError:  # another disk, or one without links
        return False
    os.fchmod(source.fileno(), path.parent.stat().st_mode & 0o666)
    os.utime(source.fileno())
    return True


def _may_be_written(file: BufferedReader) -> bool:
    """Tell whether a process has the file open for writing: the kernel then refuses a lease of it."""
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # one that ends no process, should somebody open it just now
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    return False


def _pour(source: BinaryIO, file: BinaryIO) -> int:
    """Let the kernel copy a file that was not read from yet; return the bytes."""
    copied = 0
    while count := os.sendfile(file.fileno(), source.fileno(), copied, SENT_AT_ONCE):
        copied += count
    return copied


def _read(path: Path, uri: str, limit: int | None) -> bytes:
    with _opened(path, uri) as file:
        if limit is None:
            return file.read()
        content = file.read(limit + 1)
    if len(content) > limit:
        raise place.too_large(uri, limit)
    return content


def _attributes(path: Path, uri: str) -> FileAttributes:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise place.missing(uri) from error
    is_folder = path.is_dir()
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    return FileAttributes(
        file_name=path.name,
        last_modified_time=modified,
        # The disk does not tell when a file was made in a portable way; a stored file is never changed in place.
        creation_time=min(modified, datetime.fromtimestamp(found.st_ctime, UTC)),
        type="Directory" if is_folder else "File",
        size=found.st_size,
        metadata=None if is_folder else _metadata(path),
    )


def _metadata(path: Path) -> dict[str, str] | None:
    try:
        note = _beside(path).read_text()
    except (FileNotFoundError, IsADirectoryError):
        return None
    return {str(key): str(value) for key, value in json.loads(note).items()}


def _is_ours(name: str, names: frozenset[str]) -> bool:
    """Tell whether a file is not a stored one but a note beside one, or one that is being written."""
    return name.startswith(_TEMPORARY) or (name.endswith(_METADATA) and name[: -len(_METADATA)] in names)


def _children(path: Path, uri: str) -> list[FileAttributes]:
    try:
        names = frozenset(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise place.missing(uri) from error
    found = []
    for name in sorted(names):
        if not _is_ours(name, names):
            with contextlib.suppress(NotFound):  # deleted since the folder was read
                found.append(_attributes(path / name, name))
    return found


def _below(folder: Path, root: Path, directories: bool) -> Iterator[str]:
    for current, folders, files in os.walk(folder):
        here = Path(current)
        folders.sort()
        names = frozenset(files)
        if directories:
            for name in folders:
                yield f"{(here / name).relative_to(root)}/"
        for name in sorted(files):
            if not _is_ours(name, names):
                yield str((here / name).relative_to(root))


def _delete(path: Path) -> bool:
    if path.is_dir():
        shutil.rmtree(path, onerror=_unless_gone)
        return True
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    _beside(path).unlink(missing_ok=True)
    return True


def _unless_gone(_: Any, __: str, info: tuple[type[BaseException], BaseException, Any]) -> None:
    """Go on when somebody else has deleted it meanwhile."""
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]


def _move(source: Path, target: Path, uri: str) -> None:
    if not source.exists():
        raise place.missing(uri)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Refused(f"'{target.parent.name}' is a file; nothing can be stored below it.") from error
    source.replace(target)
    if _beside(source).exists():
        _beside(source).replace(_beside(target))
