"""UploadFiles, DownloadFiles and DeleteFiles: between a task's folder and the files of a namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.model.task import Objection
from tiercel.plugins import folder
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.namespaces import name_objections
from tiercel.plugins.objection import is_list
from tiercel.plugins.registry import register
from tiercel.storage import uris
from tiercel.storage.namespace_files import NamespaceFolder, OnConflict
from tiercel.storage.patterns import PathPatterns

OWN_NAMESPACE: Final = "{{ flow.namespace }}"
NOTHING: Final = "At least one of 'files' and 'filesMap' must be set."


class NamespaceFilesTask(RunnableTask, frozen=True, kw_only=True):
    """A task about the files of a namespace."""

    namespace: Annotated[str, DYNAMIC] = OWN_NAMESPACE

    def objections(self) -> Iterator[Objection]:
        yield from name_objections(self.namespace)

    async def files_of(self, context: RunContext) -> NamespaceFolder:
        """Return the files of the namespace that is meant."""
        return NamespaceFolder(context.storage, context.tenant_id, await context.render(self.namespace))


async def patterns_of(context: RunContext, value: Any) -> list[str]:
    """Return globs that are given as one text, as a list, or as JSON text of one."""
    if isinstance(value, str):
        text = await context.render(value)
        if not is_list(text):  # `[ab].csv` is a glob
            return [text]
    patterns: list[str] = await context.render(value, list[str]) or []
    return patterns


@register("io.kestra.plugin.core.namespace.UploadFiles")
class UploadFiles(NamespaceFilesTask, frozen=True, kw_only=True):
    """Put files of the task's folder, or contents, among the files of a namespace."""

    files: Annotated[list[str] | str | None, DYNAMIC] = None
    files_map: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    destination: Annotated[str, DYNAMIC] = "/"
    conflict: Annotated[str | OnConflict, DYNAMIC] = OnConflict.OVERWRITE

    def objections(self) -> Iterator[Objection]:
        yield from super().objections()
        if self.files is None and self.files_map is None:
            yield Objection((), NOTHING)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store each file."""
        if self.files is None and self.files_map is None:
            raise TaskFailed(NOTHING)
        target = await self.files_of(context)
        conflict: OnConflict = await context.render(self.conflict, OnConflict)
        destination = "/" + (await context.render(self.destination) or "").strip("/")
        contents: dict[str, Path | bytes] = {}
        if self.files is not None:
            root = context.working_dir
            patterns = PathPatterns(await patterns_of(context, self.files), base="/")
            for name in await asyncio.to_thread(lambda: [n for n in folder.files_below(root) if patterns.match(n)]):
                contents[name] = folder.inside(root, name)
        for name, content in (await context.render(self.files_map, dict[str, Any]) or {}).items():
            contents[name] = await _content(context, content)
        for name, content in contents.items():
            await target.put(f"{destination}/{name.lstrip('/')}", content, conflict)
        return {"files": None}


async def _content(context: RunContext, content: Any) -> Path | bytes:
    if uris.is_uri(content):
        return await context.fetch(content, read_only=True)
    return (content if isinstance(content, str) else "" if content is None else str(content)).encode()


@register("io.kestra.plugin.core.namespace.DownloadFiles")
class DownloadFiles(NamespaceFilesTask, frozen=True, kw_only=True):
    """Copy files of a namespace into the execution's own."""

    files: Annotated[list[str] | str, DYNAMIC, NOT_EMPTY]
    destination: Annotated[str, DYNAMIC] = ""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store a copy of each file; return their URIs by path."""
        source = await self.files_of(context)
        destination = await context.render(self.destination) or ""
        copies: dict[str, str] = {}
        for path in await source.find(await patterns_of(context, self.files)):
            local = await context.fetch(source.uri(path), read_only=True)
            copies[f"{destination}/{path}"] = await context.store(f"{len(copies)}-{Path(path).name}", local, apart=True)
            local.unlink()
        context.counter("downloaded", len(copies))
        return {"files": copies}


@register("io.kestra.plugin.core.namespace.DeleteFiles")
class DeleteFiles(NamespaceFilesTask, frozen=True, kw_only=True):
    """Delete files of a namespace."""

    files: Annotated[list[str] | str, DYNAMIC, NOT_EMPTY]
    delete_parent_folder: Annotated[bool | str, DYNAMIC] = False

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Delete each file, and the folders that are empty then when that is wanted."""
        target = await self.files_of(context)
        parents = bool(await context.render(self.delete_parent_folder, bool))
        deleted = 0
        for path in await target.find(await patterns_of(context, self.files)):
            deleted += await target.delete(path, empty_parents=parents)
        context.counter("deleted", deleted)
        return {}
