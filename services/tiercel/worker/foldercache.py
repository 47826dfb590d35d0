"""The cache of a WorkingDirectory: chosen files of its folder, kept from one execution to the next as one archive."""

from __future__ import annotations

import asyncio
import os
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tiercel.errors import NotFound
from tiercel.plugins import folder
from tiercel.plugins.base import OWN_PREFIX
from tiercel.plugins.core.flow.workingdirectory import WorkingDirectory
from tiercel.storage import uris
from tiercel.storage.patterns import PathPatterns
from tiercel.worker.context import TaskContext

ENTRIES_MAX: Final = 100_000
"""Files of an unpacked cache, beyond any environment of packages."""
UNPACKED_MAX: Final = 8 << 30
"""Bytes of an unpacked cache; an archive that claims more is not one that we made."""


class FolderCacheStore:
    """Brings the cached files into a folder, and keeps them when they have changed."""

    def __init__(self, context: TaskContext, task: WorkingDirectory, value: str | None) -> None:
        self._context = context
        self._cache = task.cache
        origin = context.origin
        self._path = uris.cache(origin.namespace, origin.flow_id, origin.task_id, value)
        self._restored: dict[str, tuple[int, int]] | None = None

    async def restore(self) -> None:
        """Unpack the archive, if there is one that is young enough."""
        if self._cache is None:
            return
        context = self._context
        try:
            attributes = await context.storage.attributes(context.tenant_id, self._path)
        except NotFound:
            return
        if self._is_old(attributes.last_modified_time, self._cache.ttl):
            await context.storage.delete(context.tenant_id, self._path)
            context.log("DEBUG", "The cache is older than its 'ttl' and is not used.")
            return
        archive = await context.fetch(self._path)
        try:
            self._restored = await asyncio.to_thread(_unpack, archive, context.working_dir)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            context.log("WARN", f"The cache cannot be unpacked and is not used: {error}")
            return
        finally:
            archive.unlink(missing_ok=True)
        context.log("DEBUG", f"The cache brought {len(self._restored)} files.")

    def _is_old(self, made: datetime, ttl: timedelta | None) -> bool:
        return ttl is not None and made + ttl < self._context.now()

    async def save(self) -> None:
        """Keep the files that the patterns mean, when they are not what was brought."""
        if self._cache is None:
            return
        context = self._context
        patterns = PathPatterns(self._cache.patterns, base="/")
        root = context.working_dir
        state = await asyncio.to_thread(_state, root, patterns)
        if not state or state == self._restored:
            return
        names = list(state)
        archive = root / f"{OWN_PREFIX}cache-{context.task_run_id}.zip"
        try:
            await asyncio.to_thread(_pack, archive, root, names)
            await context.storage.put(context.tenant_id, self._path, archive)
        finally:
            archive.unlink(missing_ok=True)
        context.log("DEBUG", f"The cache keeps {len(names)} files.")


def _state(root: Path, patterns: PathPatterns) -> dict[str, tuple[int, int]]:
    """Return the files that the patterns mean, with what tells whether they were changed."""
    names = [name for name in folder.files_below(root) if patterns.match(name) and _is_ours(root, name)]
    return {name: _seen(root / name) for name in names}


def _seen(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _is_ours(root: Path, name: str) -> bool:
    path = root / name
    return path.is_file() and not path.is_symlink()


def _pack(archive: Path, root: Path, names: list[str]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as packed:
        for name in names:
            packed.write(root / name, name)


def _unpack(archive: Path, root: Path) -> dict[str, tuple[int, int]]:
    with zipfile.ZipFile(archive) as packed:
        entries = [entry for entry in packed.infolist() if not entry.is_dir()]
        if len(entries) > ENTRIES_MAX or sum(entry.file_size for entry in entries) > UNPACKED_MAX:
            raise ValueError("it holds more than a cache may")
        state = {}
        for entry in entries:
            target = folder.inside(root, entry.filename)
            packed.extract(entry, root)
            # The mode is kept beside the content: tools in a cache want to be run.
            mode = entry.external_attr >> 16 & 0o777
            if mode:
                target.chmod(mode)
            # An old date, so that a write in the next moment is seen, however coarse the clock of the disk is.
            made = datetime(*entry.date_time, tzinfo=UTC).timestamp()
            os.utime(target, (made, made))
            state[entry.filename] = _seen(target)
        return state
