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
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.plugins.base import OWN_PREFIX, RunContext
from tiercel.plugins.scripts.process import Process
from tiercel.plugins.scripts.protocol import Printed

ENVIRONMENTS_MAX: Final = 20
"""Environments that are kept on a machine: a large one has some hundred megabytes."""
LOCK_POLL_S: Final = 0.2
"""Between two tries to get a lock: who holds it prepares an environment, which takes seconds."""
UV: Final = "uv"
_READY: Final = ".ready"
_VERSION: Final = re.compile(r"\d+(\.\d+){0,2}")
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


class PackageManager(StrEnum):
    """What installs the packages of a Python script."""

    UV = "UV"
    PIP = "PIP"


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a script asks of its environment."""

    requirements: tuple[str, ...] = ()
    version: str | None = None
    """Of Python, as `3.12`; None for the worker's."""
    manager: PackageManager = PackageManager.UV

    def __bool__(self) -> bool:
        return bool(self.requirements or self.version)


@contextlib.asynccontextmanager
async def environment(context: RunContext, needs: Needs, *, is_kept: bool = True) -> AsyncIterator[Path]:
    """Give the folder of an environment that has what is needed, made if need be; it stays as long as it is used."""
    python = python_of(needs)
    if not is_kept:
        own = context.working_dir / f"{OWN_PREFIX}environment"
        await _make(context, own, python, needs)
        yield own
        return
    folder = context.cache_dir / "python" / digest(needs.requirements, python)
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        async with _locked(folder, fcntl.LOCK_SH):
            if (folder / _READY).exists():
                os.utime(folder / _READY)
                yield folder
                return
        async with _locked(folder, fcntl.LOCK_EX):
            if not (folder / _READY).exists():
                context.log("DEBUG", f"An environment with {_said(needs)} is made.")
                await _make(context, folder, python, needs)
                await asyncio.to_thread(prune, folder.parent, keep=folder)


def version_problem(text: str) -> str | None:
    """Tell why a text is no version of Python, None when it is one."""
    return None if _VERSION.fullmatch(text) else f"'pythonVersion' is '{text}'; it must be a version such as 3.12."


def python_of(needs: Needs) -> str:
    """Return the program that the environment is made of, or the version that uv is to find or fetch."""
    if needs.version is None:
        return shutil.which("python3") or sys.executable
    problem = version_problem(needs.version)
    if problem is not None:
        raise TaskFailed(problem)
    program = shutil.which(f"python{needs.version}")
    if program is None and (needs.manager is PackageManager.PIP or shutil.which(UV) is None):
        raise TaskFailed(
            f"Python {needs.version} is not installed on this worker; install it, "
            "or uv, which fetches it, or run the script in a container."
        )
    return program or needs.version


def _said(needs: Needs) -> str:
    python = [f"Python {needs.version}"] if needs.version is not None else []
    return ", ".join([*python, *needs.requirements])


def digest(requirements: Sequence[str], python: str) -> str:
    """Return the name of the environment of these requirements, in whatever order, for this Python."""
    made_of = str(Path(python).resolve()) if os.sep in python else python
    said = "\n".join([made_of, *sorted({each.strip() for each in requirements})])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


async def _make(context: RunContext, folder: Path, python: str, needs: Needs) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    own = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PREFIXES)}
    try:
        for command in commands(folder, python, needs.requirements, needs.manager):
            code = await Process(context, Printed(context)).run(command, folder.parent, own)
            if code != 0:
                made = f"The environment of the script ({_said(needs)})"
                raise TaskFailed(f"{made} cannot be made: exit code {code}; the log says why.")
        (folder / _READY).touch()
    except BaseException:  # cancelled too: what is incomplete is not used
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        raise


def commands(
    folder: Path, python: str, requirements: Sequence[str], manager: PackageManager = PackageManager.UV
) -> list[list[str]]:
    """Return what makes an environment: with uv where it is installed and not refused, else with Python's own means."""
    inside = str(folder / "bin" / "python")
    uv = shutil.which(UV) if manager is PackageManager.UV else None
    if uv is not None:
        made = [uv, "venv", "--quiet", "--python", python, str(folder)]
        installed = [uv, "pip", "install", "--quiet", "--python", inside, "--", *requirements]
        return [made, installed] if requirements else [made]
    # pip of the worker installs into the new one: a Python without ensurepip can make no pip of its own.
    pip = [sys.executable, "-m", "pip", "--python", inside, "install", "--quiet", "--disable-pip-version-check"]
    made = [python, "-m", "venv", "--without-pip", str(folder)]
    return [made, [*pip, "--", *requirements]] if requirements else [made]


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
