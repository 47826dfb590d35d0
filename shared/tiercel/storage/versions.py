"""
Earlier contents of stored files: of keys and of files of namespaces.

The present content lies where it always lay, so that whoever knows the path can read it; its metadata says which
version it is. Before it is replaced or deleted it is copied to `<folder>/<its name>/<version>`. The copy comes first:
whoever dies between leaves one version twice, never none.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Final

from tiercel.errors import NotFound
from tiercel.storage.base import Content, FileAttributes, Storage

VERSIONS_MAX: Final = 100
"""Versions that are kept of one file, the present one among them; the oldest goes with the next change."""
VERSION: Final = "version"
UPDATED: Final = "updateDate"
"""When a version was written: the time of its copy would be that of the next one."""


class Versions:
    """The versions of the files of one folder of a tenant; `folder` holds the earlier ones."""

    def __init__(self, storage: Storage, tenant_id: str, folder: str) -> None:
        self._storage = storage
        self._tenant_id = tenant_id
        self._folder = folder

    def path(self, name: str, version: int) -> str:
        """Return where an earlier version lies."""
        return f"{self._folder}/{name}/{version}"

    async def earlier(self, name: str) -> list[FileAttributes]:
        """Return the earlier versions, the oldest first."""
        try:
            found = await self._storage.children(self._tenant_id, f"{self._folder}/{name}")
        except NotFound:
            return []
        return sorted((each for each in found if each.file_name.isdigit()), key=lambda each: int(each.file_name))

    async def names(self) -> list[str]:
        """Return the names of the files that have earlier versions."""
        try:
            found = await self._storage.children(self._tenant_id, self._folder)
        except NotFound:
            return []
        return [each.file_name for each in found]

    async def put(
        self,
        name: str,
        path: str,
        content: Content,
        metadata: Mapping[str, str],
    ) -> int:
        """Store a content as the next version of the file at `path`; return its number."""
        before = await self._keep(name, path)
        version = 1 + (before if before is not None else await self._last(name))
        await self._storage.put(self._tenant_id, path, content, metadata={**metadata, VERSION: str(version)})
        if version > VERSIONS_MAX:
            await self._storage.delete(self._tenant_id, self.path(name, version - VERSIONS_MAX))
        return version

    async def delete(self, name: str, path: str) -> bool:
        """Delete the present version and keep it as an earlier one; False when there is none."""
        if await self._keep(name, path) is None:
            return False
        return await self._storage.delete(self._tenant_id, path)

    async def forget(self, name: str, version: int | None = None) -> bool:
        """Delete an earlier version, or all of them; False when there was none."""
        path = f"{self._folder}/{name}" if version is None else self.path(name, version)
        return await self._storage.delete(self._tenant_id, path)

    async def move(self, name: str, target: str) -> None:
        """Give the earlier versions of a file to another name."""
        await self._storage.move(self._tenant_id, f"{self._folder}/{name}", f"{self._folder}/{target}")

    async def _last(self, name: str) -> int:
        return max((int(each.file_name) for each in await self.earlier(name)), default=0)

    async def _keep(self, name: str, path: str) -> int | None:
        """Copy the present version to the earlier ones; return its number, None when there is none."""
        with contextlib.suppress(NotFound):
            present = await self._storage.attributes(self._tenant_id, path)
            if present.type != "File":
                return None
            version = version_of(present)
            metadata = {**(present.metadata or {}), UPDATED: present.last_modified_time.isoformat()}
            async with self._storage.open(self._tenant_id, path) as chunks:
                await self._storage.put(self._tenant_id, self.path(name, version), _all(chunks), metadata=metadata)
            return version
        return None


async def _all(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk


def version_of(attributes: FileAttributes) -> int:
    """Return the number of a version; a file that nobody counted is the first."""
    text = (attributes.metadata or {}).get(VERSION, "1")
    return int(text) if text.isdigit() else 1


def updated_at(attributes: FileAttributes) -> datetime:
    """Return when a version was written."""
    return instant_of(attributes, UPDATED) or attributes.last_modified_time


def instant_of(attributes: FileAttributes, name: str) -> datetime | None:
    """Return an instant of a file's metadata, None when it is not there."""
    text = (attributes.metadata or {}).get(name)
    if not text:
        return None
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
