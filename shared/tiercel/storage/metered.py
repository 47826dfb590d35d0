"""
Counts what goes into internal storage and comes out of it, what failed, and how long it took, whatever the storage is.

A file that is not there, and a request that makes no sense, are answers and no errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Final

from tiercel.errors import CallerError
from tiercel.storage import metrics
from tiercel.storage.base import Content, FileAttributes, Storage

READ: Final = metrics.BYTES.labels("read")
WRITTEN: Final = metrics.BYTES.labels("written")


class MeteredStorage:
    """A storage that counts."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @contextlib.asynccontextmanager
    async def open(self, tenant_id: str, uri: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a file's content in chunks."""
        async with contextlib.AsyncExitStack() as stack:
            with _counted("open"):  # not what the reader does with it
                chunks = await stack.enter_async_context(self._storage.open(tenant_id, uri))
            yield _counting_read(chunks)

    async def fetch(self, tenant_id: str, uri: str, target: Path, *, read_only: bool = False) -> int:
        """Write a file's content to a path of the disk."""
        with _counted("fetch"):
            size = await self._storage.fetch(tenant_id, uri, target, read_only=read_only)
        READ.inc(size)
        return size

    async def read(self, tenant_id: str, uri: str, *, limit: int | None = None) -> bytes:
        """Return a file's content."""
        with _counted("read"):
            content = await self._storage.read(tenant_id, uri, limit=limit)
        READ.inc(len(content))
        return content

    async def put(
        self,
        tenant_id: str,
        uri: str,
        content: Content,
        *,
        metadata: Mapping[str, str] | None = None,
        final: bool = False,
    ) -> str:
        """Store a file."""
        with _counted("put"):
            match content:
                case bytes():
                    size = len(content)
                case Path():
                    size = (await asyncio.to_thread(content.stat)).st_size
                case BufferedReader():
                    size = os.fstat(content.fileno()).st_size
                case _:
                    size, content = 0, _counting_written(content)
            stored = await self._storage.put(tenant_id, uri, content, metadata=metadata, final=final)
        WRITTEN.inc(size)
        return stored

    async def exists(self, tenant_id: str, uri: str) -> bool:
        """Tell whether a file or folder is there."""
        with _counted("exists"):
            return await self._storage.exists(tenant_id, uri)

    async def attributes(self, tenant_id: str, uri: str) -> FileAttributes:
        """Return what is known of a file or folder."""
        with _counted("attributes"):
            return await self._storage.attributes(tenant_id, uri)

    async def children(self, tenant_id: str, uri: str) -> list[FileAttributes]:
        """Return the direct children of a folder, by name."""
        with _counted("children"):
            return await self._storage.children(tenant_id, uri)

    async def by_prefix(self, tenant_id: str, prefix: str, *, directories: bool = False) -> list[str]:
        """Return the URIs of everything below a folder."""
        with _counted("by_prefix"):
            return await self._storage.by_prefix(tenant_id, prefix, directories=directories)

    async def delete(self, tenant_id: str, uri: str) -> bool:
        """Delete a file, or a folder with everything in it; False when it was not there."""
        with _counted("delete"):
            return await self._storage.delete(tenant_id, uri)

    async def delete_by_prefix(self, tenant_id: str, prefix: str) -> list[str]:
        """Delete everything below a folder; return the URIs."""
        with _counted("delete_by_prefix"):
            return await self._storage.delete_by_prefix(tenant_id, prefix)

    async def make_directory(self, tenant_id: str, uri: str) -> str:
        """Make a folder and those above it."""
        with _counted("make_directory"):
            return await self._storage.make_directory(tenant_id, uri)

    async def move(self, tenant_id: str, source: str, target: str) -> str:
        """Give a file or folder another path."""
        with _counted("move"):
            return await self._storage.move(tenant_id, source, target)

    async def close(self) -> None:
        """Close the storage."""
        await self._storage.close()


@contextlib.contextmanager
def _counted(operation: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    except CallerError:
        raise
    except Exception:  # counted, whatever it is, and raised again
        metrics.ERRORS.labels(operation).inc()
        raise
    finally:
        metrics.OPERATION_SECONDS.labels(operation).observe(time.perf_counter() - began)


async def _counting_read(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        with _counted("read_on"):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        READ.inc(len(chunk))
        yield chunk


async def _counting_written(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        WRITTEN.inc(len(chunk))
        yield chunk
