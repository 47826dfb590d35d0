"""
The files of a namespace: plain files in internal storage below `/<namespace>/_files`, with their earlier contents.

Who writes a file goes through here, so that its earlier content stays as a revision (`tiercel.storage.versions`); who
reads the present one may go to the storage.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote, unquote

import msgspec

from tiercel.errors import Conflict, NotFound, Refused
from tiercel.storage import uris
from tiercel.storage.base import Content, Storage
from tiercel.storage.patterns import PathPatterns
from tiercel.storage.versions import Versions, updated_at, version_of


class OnConflict(StrEnum):
    """What happens to a file that is there already."""

    OVERWRITE = "OVERWRITE"
    ERROR = "ERROR"
    SKIP = "SKIP"


class FileRevision(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One content that a file has or had."""

    revision: int
    updated_at: datetime
    size: int


async def revision_path(storage: Storage, tenant_id: str, namespace: str, path: str, revision: int | None) -> str:
    """Return where a revision of a file lies, the present one by default; it need not be there."""
    return await NamespaceFolder(storage, tenant_id, namespace).locate(path, revision)


class NamespaceFolder:
    """The files of one namespace."""

    def __init__(self, storage: Storage, tenant_id: str, namespace: str | None) -> None:
        """Raises Refused without a namespace: files would lie above those of all namespaces."""
        if not namespace:
            raise Refused("Files of a namespace need its name, and it is empty; check what 'namespace' renders to.")
        self._storage = storage
        self._tenant_id = tenant_id
        self.namespace = namespace
        self._root = uris.uri(uris.namespace_files(namespace)) + "/"
        self._versions = Versions(storage, tenant_id, uris.file_versions(namespace))

    def relative(self, path: str) -> str:
        """
        Return the path of a file below the folder, without slashes at its ends, of a path or of a storage URI.

        Raises Refused for a URI of another namespace or of another scheme.
        """
        if uris.is_uri(path):
            if not path.startswith(self._root):
                raise Refused(f"'{path}' is not a file of the namespace '{self.namespace}'.")
            path = path.removeprefix(self._root)
        path = uris.path_of(path).strip("/")
        while path.startswith("./"):
            path = path[2:]
        return path

    def uri(self, path: str) -> str:
        """Return the URI of a file; that of a folder ends with a slash when the path does."""
        inside = self.relative(path)
        return self._root + inside + ("/" if inside and path.endswith("/") else "")

    async def paths(self) -> list[str]:
        """Return the paths of all files, relative to the folder, in order."""
        found = await self._storage.by_prefix(self._tenant_id, self._root)
        return [uri.removeprefix(self._root) for uri in found]

    async def find(self, include: Iterable[str], exclude: Iterable[str] = ()) -> list[str]:
        """Return the paths that the patterns mean."""
        patterns = PathPatterns(include, exclude)
        return [path for path in await self.paths() if patterns.match(path)]

    async def locate(self, path: str, revision: int | None = None) -> str:
        """Return the storage path of a revision, of the present one by default; it need not be there."""
        present = self._path(path)
        if revision is None:
            return present
        try:
            found = await self._storage.attributes(self._tenant_id, present)
            if found.type == "File" and version_of(found) == revision:
                return present
        except NotFound:
            pass  # deleted, or never there: an earlier revision may be
        return self._versions.path(self._name(path), revision)

    async def revisions(self, path: str) -> list[FileRevision]:
        """Return all revisions of a file that are left, the oldest first."""
        found = {int(each.file_name): each for each in await self._versions.earlier(self._name(path))}
        try:
            present = await self._storage.attributes(self._tenant_id, self._path(path))
            if present.type == "File":
                found[version_of(present)] = present
        except NotFound:
            pass  # a deleted file has earlier revisions only
        return [
            FileRevision(revision=number, updated_at=updated_at(found[number]), size=found[number].size)
            for number in sorted(found)
        ]

    def _path(self, path: str) -> str:
        return uris.namespace_file(self.namespace, self.relative(path))

    def _name(self, path: str) -> str:
        """Return the name of a file's folder of revisions: its path as one word, so that no file is in its way."""
        return quote(self.relative(path), safe="")

    async def put(self, path: str, content: Content, conflict: OnConflict = OnConflict.OVERWRITE) -> bool:
        """Store a file; False when it was there and is kept; raise Conflict when it was there and must not be."""
        if conflict is not OnConflict.OVERWRITE and await self._storage.exists(self._tenant_id, self.uri(path)):
            if conflict is OnConflict.SKIP:
                return False
            raise Conflict(
                f"File '{path}' already exists in the namespace '{self.namespace}' and 'conflict' is set to ERROR."
            )
        await self._versions.put(self._name(path), self._path(path), content, {})
        return True

    async def move(self, source: str, target: str) -> None:
        """Give a file or folder another path, where nothing is; its revisions go with it."""
        old, new = self._path(source), self._path(target)
        below = [path for path in await self.paths() if path.startswith(f"{source.strip('/')}/")]
        await self._storage.move(self._tenant_id, old, new)
        for path in below or [source.strip("/")]:
            moved = target.strip("/") + path[len(source.strip("/")) :]
            if await self._versions.earlier(self._name(path)):
                await self._versions.forget(self._name(moved))
                await self._versions.move(self._name(path), self._name(moved))

    async def delete(self, path: str, *, empty_parents: bool = False) -> bool:
        """Delete a file, or a folder with its files, which stay as revisions; False when it was not there."""
        if await self._is_file(path):
            deleted = await self._versions.delete(self._name(path), self._path(path))
        else:
            deleted = await self._delete_folder(path)
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

    async def _is_file(self, path: str) -> bool:
        try:
            return (await self._storage.attributes(self._tenant_id, self._path(path))).type == "File"
        except NotFound:
            return False

    async def _delete_folder(self, path: str) -> bool:
        inside = f"{self.relative(path)}/".lstrip("/")
        below = [each for each in await self.paths() if each.startswith(inside)]
        for each in below:
            await self._versions.delete(self._name(each), self._path(each))
        return await self._storage.delete(self._tenant_id, self.uri(path)) or bool(below)

    async def names(self) -> list[str]:
        """Return the path of every file that is there or has earlier revisions, in order."""
        return sorted({*await self.paths(), *(unquote(name) for name in await self._versions.names())})

    async def purge(self, path: str) -> bool:
        """Delete a file for good, with all its revisions; False when there was none."""
        earlier = await self._versions.forget(self._name(path))
        return await self._storage.delete(self._tenant_id, self.uri(path)) or earlier

    async def purge_revision(self, path: str, revision: int) -> bool:
        """Delete an earlier revision of a file; False when there was none."""
        return await self._versions.forget(self._name(path), revision)
