"""
Python environments of scripts: one for each set of requirements, made once per worker machine and used again.

An environment is a folder named by a digest of its requirements and of the Python that it is made of. Whoever uses one
holds a lock on it that others may share; whoever makes or removes one holds it alone. The oldest are removed when there
are too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO, Final

from tiercel.errors import TaskFailed
from tiercel.plugins.base import OWN_PREFIX, RunContext
from tiercel.plugins.scripts.process import Process
from tiercel.plugins.scripts.protocol import Printed

ENVIRONMENTS_MAX: Final = 20
"""Environments that are kept on a machine: a large one has some hundred megabytes."""
LOCK_POLL_S: Final = 0.2
_READY: Final = ".ready"
_PASSED: Final = (
    "PATH",
    "HOME",
    "LANG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
_PREFIXES: Final = ("PIP_", "UV_")
"""Variables of the worker that the installer sees: where packages come from is the operator's business."""


@contextlib.asynccontextmanager
async def environment(context: RunContext, requirements: Sequence[str], *, is_kept: bool = True) -> AsyncIterator[Path]:
    """Give the folder of an environment that has these packages, made if need be; it stays as long as it is used."""
    python = shutil.which("python3") or sys.executable
    if not is_kept:
        own = context.working_dir / f"{OWN_PREFIX}environment"
        await _make(context, own, python, requirements)
        yield own
        return
    folder = context.cache_dir / "python" / digest(requirements, python)
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        async with _locked(folder, fcntl.LOCK_SH):
            if (folder / _READY).exists():
                os.utime(folder / _READY)
                yield folder
                return
        async with _locked(folder, fcntl.LOCK_EX):
            if not (folder / _READY).exists():
                context.log("DEBUG", f"An environment with {', '.join(requirements)} is made.")
                await _make(context, folder, python, requirements)
                await asyncio.to_thread(prune, folder.parent, keep=folder)


def digest(requirements: Sequence[str], python: str) -> str:
    """Return the name of the environment of these requirements, in whatever order, for this Python."""
    said = "\n".join([str(Path(python).resolve()), *sorted({each.strip() for each in requirements})])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


async def _make(context: RunContext, folder: Path, python: str, requirements: Sequence[str]) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    own = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PREFIXES)}
    try:
        for command in commands(folder, python, requirements):
            code = await Process(context, Printed(context)).run(command, folder.parent, own)
            if code != 0:
                names = ", ".join(requirements)
                raise TaskFailed(f"The dependencies ({names}) cannot be installed: exit code {code}; the log says why.")
        (folder / _READY).touch()
    except BaseException:  # cancelled too: what is incomplete is not used
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        raise


def commands(folder: Path, python: str, requirements: Sequence[str]) -> list[list[str]]:
    """Return what makes an environment: with uv where it is installed, else with Python's own means."""
    inside = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv is not None:
        return [
            [uv, "venv", "--quiet", "--python", python, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", inside, "--", *requirements],
        ]
    # pip of the worker installs into the new one: a Python without ensurepip can make no pip of its own.
    pip = [sys.executable, "-m", "pip", "--python", inside, "install", "--quiet", "--disable-pip-version-check"]
    return [[python, "-m", "venv", "--without-pip", str(folder)], [*pip, "--", *requirements]]


def install_command(requirements: Sequence[str]) -> str:
    """Return the line of a shell that installs packages where it runs, inside of a container."""
    return shlex.join(["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--", *requirements])


def prune(folder: Path, *, keep: Path, most: int = ENVIRONMENTS_MAX) -> None:
    """Remove the environments that were not used for longest, beyond the most; one that is in use stays."""
    known = [path for path in folder.iterdir() if (path / _READY).exists()]
    known.sort(key=lambda path: (path / _READY).stat().st_mtime, reverse=True)
    for path in known[most:]:
        if path == keep:
            continue
        with _lock_file(path).open("wb") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@contextlib.asynccontextmanager
async def _locked(folder: Path, how: int) -> AsyncIterator[IO[bytes]]:
    """Hold an environment's lock; wait for it as long as the task may run."""
    with _lock_file(folder).open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_POLL_S)  # a wait in the kernel could not be cancelled
        yield lock
