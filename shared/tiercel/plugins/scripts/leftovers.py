"""
Containers that a dead worker left behind, and how they are known.

Each worker process that starts containers has a temporary folder which tells that it lives; its containers bear the
folder's name and that of the machine. When a worker starts, it removes the containers of this machine whose process is
dead.
"""

from __future__ import annotations

import logging
import os
import platform
from typing import Final

from tiercel.errors import TiercelError
from tiercel.plugins.scripts.engine import Engine, found_host
from tiercel.runtime.scratch import Scratch, is_alive

log = logging.getLogger(__name__)

HOST: Final = "tiercel/host"
WORKER: Final = "tiercel/worker"


class Sign:
    """The sign of life of this process: made on first use, and anew in a process that was forked."""

    def __init__(self) -> None:
        self._owner = 0
        self._folder: Scratch | None = None

    @property
    def name(self) -> str:
        """The name under which this process is alive."""
        if self._folder is None or self._owner != os.getpid():
            self._owner, self._folder = os.getpid(), Scratch("sign")
        return self._folder.path.name


SIGN: Final = Sign()


def labels() -> dict[str, str]:
    """Return the labels of a container of this process."""
    return {HOST: platform.node(), WORKER: SIGN.name}


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
