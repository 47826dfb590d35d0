"""
Containers that a dead worker left behind, and how they are known.

Each worker process holds a lock on a file as long as it lives; its containers bear the file's name and that of the
machine. When a worker starts, it removes the containers of this machine whose lock nobody holds.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import re
import tempfile
from pathlib import Path
from typing import IO, Final

from tiercel.errors import TiercelError
from tiercel.plugins.scripts.engine import Engine, found_host

log = logging.getLogger(__name__)

HOST: Final = "tiercel/host"
WORKER: Final = "tiercel/worker"
_NAME: Final = re.compile(r"[0-9]+-[0-9a-f]+")


class Sign:
    """The sign of life of this process: made on first use, and anew in a process that was forked."""

    def __init__(self) -> None:
        self._owner = 0
        self._name = ""
        self._file: IO[bytes] | None = None

    @property
    def name(self) -> str:
        """The name under which this process is alive."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._name = f"{self._owner}-{os.urandom(6).hex()}"
            self._file = _path(self._name).open("wb")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return self._name


SIGN: Final = Sign()


def _path(name: str) -> Path:
    return Path(tempfile.gettempdir(), f"tiercel-worker-{name}.lock")


def labels() -> dict[str, str]:
    """Return the labels of a container of this process."""
    return {HOST: platform.node(), WORKER: SIGN.name}


def is_alive(name: str) -> bool:
    """Tell whether the process of this name lives; the sign of a dead one is removed."""
    if not _NAME.fullmatch(name):
        return False
    path = _path(name)
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


async def remove(host: str | None = None) -> int:
    """Remove the containers of dead workers of this machine; return how many. No engine, nothing to do."""
    host = host or found_host()
    if host is None:
        return 0
    removed = 0
    try:
        async with Engine(host) as engine:
            for container in await engine.containers([f"{HOST}={platform.node()}"]):
                if not is_alive(str((container.get("Labels") or {}).get(WORKER, ""))):
                    await engine.remove(str(container["Id"]))
                    removed += 1
    except TiercelError as error:
        log.warning("containers of earlier workers cannot be looked for: %s", error, extra={"action": "sweep_failed"})
    if removed:
        log.info("removed %d containers of dead workers", removed, extra={"action": "containers_removed"})
    return removed
