"""
Where backing services are kept between runs, and how they get there whole: `~/.cache/tiercel/services/<name>`.

What is made appears under its name only when it is complete; who comes while it is made waits for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tiercel.errors import OperatorError

READ_SIZE: Final = 1 << 20
"""Bytes of a file that are hashed at a time."""
OUTPUT_LINES: Final = 12
"""Last lines of a tool's output that are shown when it has failed."""


class NotObtainable(OperatorError):
    """A backing service cannot be had on this machine; the message says what is missing and what would help."""


def root() -> Path:
    """Return the folder of all services in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tiercel" / "services"


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `name` of the cache; the first who asks makes it, in a folder that is renamed when complete."""
    folder = root() / name
    if folder.exists():
        return folder
    with locked(name):
        if folder.exists():  # somebody else has made it while we waited
            return folder
        for left in folder.parent.glob(f".{name}-*"):  # of a run that was killed: we hold the lock, nobody uses it
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            make(fresh)
            fresh.chmod(0o755)
            fresh.rename(folder)
        except BaseException:  # Ctrl-C too: what is incomplete is not kept
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return folder


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a name for this process; others wait. The lock goes with the process, however it ends."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sha256(file: Path) -> str:
    """Return the checksum of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(READ_SIZE):
            digest.update(piece)
    return digest.hexdigest()


def run(
    command: Sequence[str | Path], what: str, *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a tool to its end and return what it says; raise NotObtainable with the end of it when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-OUTPUT_LINES:])
        raise NotObtainable(f"{what} failed: '{Path(command[0]).name}' ended with {done.returncode}:\n{end}")
    return done.stdout
