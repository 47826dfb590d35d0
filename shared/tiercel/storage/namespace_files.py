"""The files of a namespace: plain files in internal storage below `/<namespace>/_files`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from enum import StrEnum
from pathlib import Path

from tiercel.errors import Conflict, NotFound
from tiercel.storage import uris
from tiercel.storage.base import Storage
from tiercel.storage.patterns import PathPatterns


class OnConflict(StrEnum):
    """What happens to a file that is there already."""

    OVERWRITE = "OVERWRITE"
    ERROR = "ERROR"
    SKIP = "SKIP"


class NamespaceFolder:
    """The files of one namespace."""

    def __init__(self, storage: Storage, tenant_id: str, namespace: str) -> None:
        self._storage = storage
        self._tenant_id = tenant_id
        self.namespace = namespace
        self._root = uris.uri(uris.namespace_files(namespace)) + "/"

    def uri(self, path: str) -> str:
        """Return the URI of a file."""
        return uris.uri(uris.namespace_file(self.namespace, path))

    async def paths(self) -> list[str]:
        """Return the paths of all files, relative to the folder, in order."""
        found = await self._storage.by_prefix(self._tenant_id, self._root)
        return [uri.removeprefix(self._root) for uri in found]

    async def find(self, include: Iterable[str], exclude: Iterable[str] = ()) -> list[str]:
        """Return the paths that the patterns mean."""
        patterns = PathPatterns(include, exclude)
        return [path for path in await self.paths() if patterns.match(path)]

    async def put(
        self, path: str, content: bytes | Path | AsyncIterator[bytes], conflict: OnConflict = OnConflict.OVERWRITE
    ) -> bool:
        """Store a file; False when it was there and is kept; raise Conflict when it was there and must not be."""
        if conflict is not OnConflict.OVERWRITE and await self._storage.exists(self._tenant_id, self.uri(path)):
            if conflict is OnConflict.SKIP:
                return False
            raise Conflict(
                f"File '{path}' already exists in the namespace '{self.namespace}' and 'conflict' is set to ERROR."
            )
        await self._storage.put(self._tenant_id, self.uri(path), content)
        return True

    async def delete(self, path: str, *, empty_parents: bool = False) -> bool:
        """Delete a file, with `empty_parents` the folders too that are empty then."""
        deleted = await self._storage.delete(self._tenant_id, self.uri(path))
        parent = path.strip("/").rpartition("/")[0]
        while empty_parents and parent:
            try:
                if await self._storage.children(self._tenant_id, self.uri(parent)):
                    break
            except NotFound:
                pass  # storages without folders have nothing to delete
            else:
                await self._storage.delete(self._tenant_id, self.uri(parent))
            parent = parent.rpartition("/")[0]
        return deleted
