"""
Runs a task's commands in a container: files go in, output comes as it is printed, files come out, nothing stays behind.

The container is the task's: it ends when the task is killed or takes too long, and it bears the name of its worker, so
that one whose worker died is found and removed when a worker starts on that machine again (`leftovers`).
"""

from __future__ import annotations

import asyncio
import shlex
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from tiercel.errors import TaskFailed, TiercelError
from tiercel.plugins import folder as folders
from tiercel.plugins.base import RunContext
from tiercel.plugins.scripts import containerspec, leftovers, naming
from tiercel.plugins.scripts.engine import Engine
from tiercel.plugins.scripts.protocol import LineReader, Printed
from tiercel.plugins.scripts.runners import DockerRunner, FileHandling, PullPolicy

CHUNK: Final = 256 * 1024
"""Bytes of an archive that move at a time: large enough for the calls not to count."""
TAIL_GRACE_S: Final = 5.0
"""How long output is read that goes on after the container's end."""
_SPOOLED: Final = 8 << 20
"""Bytes of an archive that are kept in memory; larger ones go to the disk."""


class Container:
    """One container at work."""

    def __init__(self, context: RunContext, printed: Printed, runner: DockerRunner, host: str) -> None:
        self._context, self._printed, self._runner, self._host = context, printed, runner, host
        self._id: str | None = None

    async def run(self, image: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
        """Run a command to its end and return its exit code; raise TaskFailed when it cannot be run."""
        context, runner = self._context, self._runner
        waits = await context.render(runner.wait, bool) is not False
        wanted = containerspec.Wanted(
            image=image,
            command=list(command),
            folder=folder,
            environment=environment,
            labels=naming.labels(context) | (leftovers.labels() if waits else {}),
        )
        specification = await containerspec.specification(context, runner, wanted)
        copies = await context.render(runner.file_handling_strategy, FileHandling) is FileHandling.VOLUME
        async with Engine(self._host) as engine:
            await self._fetch(engine, image)
            try:
                name = naming.job_name(context)
                self._id = await engine.create(specification, name)
                context.log("DEBUG", f"The container {name} ({self._id[:12]}) runs [{shlex.join(command)}].")
                if copies:
                    await self._copy_in(engine, folder)
                await engine.start(self._id)
                if not waits:
                    self._id = None
                    return 0
                code = await self._follow(engine)
                if copies:
                    await self._copy_out(engine, folder)
                return code
            finally:
                await self._clear()

    async def _fetch(self, engine: Engine, image: str) -> None:
        policy = await self._context.render(self._runner.pull_policy, PullPolicy) or PullPolicy.IF_NOT_PRESENT
        if policy is PullPolicy.NEVER or (policy is PullPolicy.IF_NOT_PRESENT and await engine.has_image(image)):
            return
        self._context.log("DEBUG", f"The image '{image}' is fetched.")
        await engine.pull(image, await containerspec.credentials(self._context, self._runner, image))

    async def _follow(self, engine: Engine) -> int:
        """Take in the output until the container ends; return its exit code."""
        assert self._id is not None
        printing = asyncio.ensure_future(self._print(engine, self._id))
        waiting = asyncio.ensure_future(engine.wait(self._id))
        try:
            await asyncio.wait({printing, waiting}, return_when=asyncio.FIRST_EXCEPTION)
            if printing.done() and not waiting.done():
                printing.result()
            code = await waiting
            done, _ = await asyncio.wait({printing}, timeout=TAIL_GRACE_S)  # the engine may never close the stream
            for each in done:
                each.result()
            return code
        finally:
            printing.cancel()
            waiting.cancel()

    async def _print(self, engine: Engine, container: str) -> None:
        readers = {name: LineReader(self._printed, name) for name in ("stdout", "stderr")}
        async for stream, data in engine.output(container):
            readers[stream].feed(data)
            await self._context.room()
        for reader in readers.values():
            reader.close()

    async def _copy_in(self, engine: Engine, folder: Path) -> None:
        assert self._id is not None
        with tempfile.SpooledTemporaryFile(_SPOOLED) as archive:
            await asyncio.to_thread(pack, folder, archive)
            archive.seek(0)
            await engine.put_archive(self._id, "/", _chunks(archive))

    async def _copy_out(self, engine: Engine, folder: Path) -> None:
        assert self._id is not None
        with tempfile.SpooledTemporaryFile(_SPOOLED) as archive:
            async for chunk in engine.archive(self._id, str(folder)):
                archive.write(chunk)
            if archive.tell():
                archive.seek(0)
                await asyncio.to_thread(unpack, archive, folder)

    async def _clear(self) -> None:
        """End the container if it still runs, and remove it if it is to be removed, whoever gives up waiting for it."""
        container, self._id = self._id, None
        if container is not None:
            clearing = asyncio.ensure_future(self._removed(container))
            _CLEARING.add(clearing)
            clearing.add_done_callback(_CLEARING.discard)
            await asyncio.shield(clearing)

    async def _removed(self, container: str) -> None:
        try:
            async with Engine(self._host) as engine:
                await engine.stop(container, self._runner.kill_grace_period.total_seconds())
                if await self._context.render(self._runner.delete, bool) is not False:
                    await engine.remove(container)
        except TiercelError as error:
            self._context.log("WARN", f"The container {container[:12]} could not be removed: {error}")


_CLEARING: Final[set[asyncio.Future[None]]] = set()
"""Removals under way: a loop keeps no hold of its tasks."""


def pack(folder: Path, target: IO[bytes]) -> None:
    """Write a folder as an archive that unpacks to the same path, open to whatever user the image has."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in (folder, *sorted(folder.rglob("*"))):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                continue  # a link means nothing in another system of files
            entry = archive.gettarinfo(path, str(path).lstrip("/"))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o777 if entry.isdir() or entry.mode & 0o100 else 0o666
            if entry.isdir():
                archive.addfile(entry)
            else:
                entry.type = tarfile.REGTYPE  # a second name of a file is a file there
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    archive.addfile(entry, content)


def unpack(source: IO[bytes], folder: Path) -> None:
    """Take files and folders out of an archive of the folder; what would lie outside, and links, are left out."""
    try:
        with tarfile.open(fileobj=source, mode="r") as archive:
            for entry in archive:
                name = "/".join(Path(entry.name).parts[1:])
                if not name or not (entry.isdir() or entry.isreg()):
                    continue
                target = folders.inside(folder, name)
                if entry.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    _unpack_file(archive, entry, target)
    except tarfile.TarError as error:
        raise TaskFailed(f"The files of the container cannot be read: {error}.") from error


def _unpack_file(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    content = archive.extractfile(entry)
    assert content is not None
    with target.open("wb") as file:
        while chunk := content.read(CHUNK):
            file.write(chunk)
    target.chmod(0o755 if entry.mode & 0o100 else 0o644)


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
