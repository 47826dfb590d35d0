"""
A task's folder: the files it finds there, and those that it leaves and wants kept.

Nothing gets out of the folder: names that lead elsewhere are refused, and so are links, when files are put in and when
they are collected.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from tiercel.errors import Conflict, TaskFailed
from tiercel.expression.printing import text_of
from tiercel.plugins.base import OWN_PREFIXES, RunContext
from tiercel.plugins.core.flow.workingdirectory import FileExists, NamespaceFiles
from tiercel.plugins.filename import outside_problem
from tiercel.storage import uris
from tiercel.storage.namespace_files import NamespaceFolder
from tiercel.storage.patterns import PathPatterns

TRANSFERS_MAX: Final = 4
"""Files of one task that move at a time: enough to hide latency, few enough for memory."""
OUTPUT_FILES_MAX: Final = 10_000
"""Files that one task may keep: each costs a request to the storage, and all are in one output."""
_NAMESPACE_FILE: Final = "nsfile://"
_LOCAL_FILE: Final = "file://"


def inside(folder: Path, name: str) -> Path:
    """Return the path of a relative name in a folder; raise TaskFailed when it would lie outside."""
    problem = outside_problem(name)
    if problem is not None:
        raise TaskFailed(problem)
    path = folder / name
    # A link that an earlier task left must not lead a new file out of the folder.
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise TaskFailed(f"'{name}' leads out of the task's folder through a link.")
    return path


async def put_input_files(context: RunContext, files: Any, **more: Any) -> dict[str, Path]:
    """
    Write the files that the property `inputFiles` describes; return their paths by name.

    It is a map (or JSON text of one) from a name to a content, or to the URI of a file.
    """
    rendered: dict[str, Any] = await context.render(files, dict[str, Any], **more) or {}
    folder = context.working_dir
    targets = {name: inside(folder, name) for name in rendered}
    await _each([_write_input(context, targets[name], rendered[name]) for name in rendered])
    return targets


async def _write_input(context: RunContext, target: Path, content: Any) -> None:
    _clear(target)
    text = text_of(content)
    uri = text.strip()
    if uri.startswith(uris.SCHEME):
        await copy_from_storage(context, uri, target)
    elif uri.startswith(_NAMESPACE_FILE):
        namespace, _, path = uri[len(_NAMESPACE_FILE) :].partition("/")
        await copy_from_storage(context, uris.uri(uris.namespace_file(namespace or context.namespace, path)), target)
    elif uri.startswith(_LOCAL_FILE):
        source = context.local_file(uri[len(_LOCAL_FILE) :])
        await asyncio.to_thread(shutil.copyfile, source, target)
    else:
        _write(target, text)


def _clear(target: Path) -> None:
    """Make the folder of a file to come; a link in its place is removed and not followed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()


def _write(target: Path, text: str) -> None:
    target.write_text(text)


async def copy_from_storage(context: RunContext, uri: str, target: Path) -> None:
    """Write a stored file to a path."""
    await context.storage.fetch(context.tenant_id, uri, target)


async def put_namespace_files(context: RunContext, files: NamespaceFiles | None) -> list[str]:
    """Copy the files of namespaces that the property `namespaceFiles` describes; return their names."""
    if files is None or not await context.render(files.enabled, bool):
        return []
    include = await context.render(files.include, list[str]) or ["**"]
    exclude = await context.render(files.exclude, list[str]) or []
    namespaces = await context.render(files.namespaces, list[str]) or [context.namespace]
    if_exists = await context.render(files.if_exists, FileExists)
    apart = await context.render(files.folder_per_namespace, bool)
    placed: dict[Path, str] = {}
    for namespace in namespaces:
        source = NamespaceFolder(context.storage, context.tenant_id, namespace)
        for path in await source.find(include, exclude):
            target = inside(context.working_dir, f"{namespace}/{path}" if apart else path)
            if _is_wanted(target, path, if_exists, context):
                placed[target] = source.uri(path)
    await _each([_place(context, uri, target) for target, uri in placed.items()])
    return [str(target.relative_to(context.working_dir)) for target in placed]


async def _place(context: RunContext, uri: str, target: Path) -> None:
    _clear(target)
    await copy_from_storage(context, uri, target)


def _is_wanted(target: Path, path: str, if_exists: FileExists, context: RunContext) -> bool:
    if if_exists is FileExists.OVERWRITE or not target.exists():
        return True
    if if_exists is FileExists.FAIL:
        raise Conflict(f"File '{path}' is in the folder already, and 'ifExists' is FAIL.")
    if if_exists is FileExists.WARN:
        context.log("WARN", f"File '{path}' is in the folder already; the one of the namespace is not taken.")
    return False


async def collect_output_files(context: RunContext, patterns: Any, **more: Any) -> dict[str, str]:
    """Store the files that the property `outputFiles` names (globs in the folder); return their URIs by name."""
    rendered: Sequence[str] = await context.render(patterns, list[str], **more) or ()
    return await store_files(context, context.working_dir, rendered) if rendered else {}


async def store_files(context: RunContext, folder: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Store the files in a folder that the globs mean; return their URIs by relative path."""
    chosen = PathPatterns(patterns, base="/")
    names = await asyncio.to_thread(lambda: [name for name in files_below(folder) if chosen.match(name)])
    if len(names) > OUTPUT_FILES_MAX:
        raise TaskFailed(
            f"{len(names)} files are to be kept, which is more than {OUTPUT_FILES_MAX}; pack them into an archive."
        )
    stored = await _each([_store(context, folder, name) for name in names])
    return dict(zip(names, stored, strict=True))


def files_below(folder: Path) -> Iterator[str]:
    """Yield the relative paths of all files and links below a folder, in order; linked folders are not entered."""
    for current, folders, files in os.walk(folder):
        folders.sort()
        place = Path(current).relative_to(folder)
        for name in sorted([*files, *(name for name in folders if os.path.islink(os.path.join(current, name)))]):
            if not name.startswith(OWN_PREFIXES):
                yield (place / name).as_posix()


async def _store(context: RunContext, folder: Path, name: str) -> str:
    # An attempt may be run twice (a crash of PostgreSQL takes back that its job was taken): each run has its own files.
    mark = os.urandom(8).hex()
    with _opened(folder, name) as file:
        return await context.store(f"{mark}-{Path(name).name}", file, final=True)


def _opened(folder: Path, name: str) -> BinaryIO:
    """Open a file to be kept; a link that stays in the folder is followed, everything else but files is refused."""
    path = folder / name
    target = path.resolve()
    if not target.is_relative_to(folder.resolve()):
        raise TaskFailed(f"Output file '{name}' is a link that leads out of the task's folder; it is not kept.")
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TaskFailed(f"Output file '{name}' cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TaskFailed(f"Output file '{name}' is not a regular file; it is not kept.")
    return os.fdopen(descriptor, "rb")


async def _each(works: list[Any]) -> list[Any]:
    """Do all works, few at a time, and return their results in order; the first failure ends the others."""
    if len(works) <= 1:
        return [await work for work in works]
    gate = asyncio.Semaphore(TRANSFERS_MAX)

    async def one(work: Any) -> Any:
        async with gate:
            return await work

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(work)) for work in works]
    except BaseExceptionGroup as group_error:  # the group raises nothing else; the first tells the reason
        raise group_error.exceptions[0] from group_error
    return [task.result() for task in tasks]
