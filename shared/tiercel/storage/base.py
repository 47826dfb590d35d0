"""
The port of internal storage. A URI is `kestra:///<path>`; the path is below the tenant's folder (reference 7).

Contents stream in bounded memory, both ways.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import msgspec

Content = bytes | Path | BufferedReader | AsyncIterator[bytes]
"""What can be stored: bytes, a file of the disk (its path, or open and not read from yet), or a stream."""


class FileAttributes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of a file or folder; times are UTC, size in bytes."""

    file_name: str
    last_modified_time: datetime
    creation_time: datetime
    type: str
    size: int
    metadata: dict[str, str] | None = None


class KeyValueEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What is known of a key beside its value."""

    namespace: str
    key: str
    version: int
    description: str | None = None
    creation_date: datetime
    update_date: datetime
    expiration_date: datetime | None = None


class Storage(Protocol):
    """Keeps files by path. A missing one raises NotFound with its URI; `..` in a path raises Refused."""

    def open(self, tenant_id: str, uri: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream a file's content in chunks."""
        ...

    async def fetch(self, tenant_id: str, uri: str, target: Path, *, read_only: bool = False) -> int:
        """
        Write a file's content to a path of the disk, and return its bytes; a missing one leaves nothing there.

        `read_only` promises that nobody writes to the target: it may be the stored file itself.
        """
        ...

    async def read(self, tenant_id: str, uri: str, *, limit: int | None = None) -> bytes:
        """Return a file's content; raise Refused when it is larger than `limit` bytes."""
        ...

    async def put(
        self,
        tenant_id: str,
        uri: str,
        content: Content,
        *,
        metadata: Mapping[str, str] | None = None,
        final: bool = False,
    ) -> str:
        """
        Store a file (replacing it as a whole), return its URI `kestra:///…`.

        `final` promises that nobody writes to the file of the disk any more: it may be kept itself instead of a copy.
        """
        ...

    async def exists(self, tenant_id: str, uri: str) -> bool:
        """Tell whether a file or folder is there."""
        ...

    async def attributes(self, tenant_id: str, uri: str) -> FileAttributes:
        """Return what is known of a file or folder."""
        ...

    async def children(self, tenant_id: str, uri: str) -> list[FileAttributes]:
        """Return the direct children of a folder, by name."""
        ...

    async def by_prefix(self, tenant_id: str, prefix: str, *, directories: bool = False) -> list[str]:
        """Return the URIs of everything below a folder."""
        ...

    async def delete(self, tenant_id: str, uri: str) -> bool:
        """Delete a file, or a folder with everything in it; False when it was not there."""
        ...

    async def delete_by_prefix(self, tenant_id: str, prefix: str) -> list[str]:
        """Delete everything below a folder; return the URIs."""
        ...

    async def make_directory(self, tenant_id: str, uri: str) -> str:
        """Make a folder and those above it; return its URI."""
        ...

    async def move(self, tenant_id: str, source: str, target: str) -> str:
        """Give a file or folder another path; return its URI."""
        ...

    async def close(self) -> None:
        """Let go of connections and the like; nothing is asked of it afterwards."""
        ...
