"""
Temporary folders that do not outlive their process for long.

A process locks its folder as long as it lives: whatever end it comes to, the kernel gives the lock back. It removes the
folder when it ends cleanly; one that was killed leaves it to the next process that makes a folder in the same place.
The lock is on the folder itself, which also keeps those away who clear old temporary files (systemd-tmpfiles).
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"tiercel-[a-z]+-[0-9]+-[0-9a-f]{12}")
"""A folder's name: what it is for, the number of the process, and random letters."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Scratch:
    """A folder of this process: `with Scratch("bench") as path:`, or `path` and `close`."""

    def __init__(self, purpose: str, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        self.path, lock = _made(purpose, parent.resolve())
        self.close = weakref.finalize(self, _end, self.path, lock, os.getpid())
        """Removes the folder; so does the end of the process, and of all use of this object."""

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()


def sweep(parent: Path) -> int:
    """Remove the folders of dead processes below one that may not be there; return how many."""
    try:
        found = [Path(entry) for entry in os.scandir(parent) if _NAME.fullmatch(entry.name)]
    except FileNotFoundError:
        return 0
    swept = 0
    for path in found:
        with suppress(OSError):  # somebody else's, or a file system without such locks: not ours to judge
            lock = os.open(path, _FOLDER)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
                swept += not path.exists()
            finally:
                os.close(lock)
    if swept:
        log.info("removed %d folders of dead processes", swept, extra={"action": "folders_swept"})
    return swept


def is_alive(name: str, parent: Path | None = None) -> bool:
    """Tell whether the process lives whose folder bears this name."""
    if not _NAME.fullmatch(name):
        return False
    try:
        lock = os.open(Path(parent or tempfile.gettempdir(), name), _FOLDER)
    except PermissionError:
        return True  # another user's, who cleans up for himself
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _made(purpose: str, parent: Path) -> tuple[Path, int]:
    while True:
        path = parent / f"tiercel-{purpose}-{os.getpid()}-{os.urandom(6).hex()}"
        path.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # swept before it was locked
            lock = os.open(path, _FOLDER)
            with suppress(OSError):  # a file system without such locks: nobody sweeps there either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)


def _end(path: Path, lock: int, owner: int) -> None:
    if os.getpid() == owner:  # a process that was forked from it has no right to the folder
        shutil.rmtree(path, ignore_errors=True)
    os.close(lock)
