"""What an operator may set for a worker."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from tiercel.model.lane import served
from tiercel.queue.base import LANE_DEFAULT


def _slots() -> int:
    # As many as Kestra's worker has threads, but enough on a small machine for tasks that only wait.
    return max(16, 8 * (os.cpu_count() or 1))


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes, times and bounds; the defaults serve from a laptop to thousands of tasks a second."""

    slots: int = msgspec.field(default_factory=_slots)
    """Tasks that run at a time."""
    tags: tuple[str, ...] = ()
    """Lanes that this worker serves beside, or with `only_tags` instead of, the default one."""
    only_tags: bool = False
    """Serve the lanes of the tags alone, and not the default one."""
    poll_s: float = 1.0
    """How long a claim waits when nobody wakes it: a safety net."""
    grace_s: float = 300.0
    """How long running tasks may take to end when the worker stops."""
    heartbeat_s: float = 3.0
    """How often it says that it is there."""
    mute_s: float = 20.0
    """A worker that could not be heard for this long claims no more."""
    lost_s: float = 30.0
    """And after this long it kills what it runs, because others will run it again."""
    kill_grace_s: float = 10.0
    """How long a killed task may take to end before it is left behind."""
    temporary_folder: str | None = None
    """Where the folders of runs are made (default: the system's). On local storage's disk, outputs are not copied."""
    cache_folder: str | None = None
    """What is kept from one task to the next: environments of Python scripts. Default: in the temporary folder."""
    containers_may: tuple[str, ...] = ()
    """What containers of tasks may beyond the usual: mount folders of the machine (`volumes`), be `privileged`."""
    log_delay_s: float = 0.1
    """How long a line of log may wait for others when no task ends meanwhile."""
    log_lines_pending_max: int = 20_000
    """Lines that wait to be sent; beyond this a script's output is read no further."""
    log_line_size_max: int = 32_768
    """Characters of one line; the rest is cut off."""
    log_lines_max: int = 100_000
    """Lines of one attempt; beyond this and the next one the rest is dropped, and a line says so."""
    log_size_max: int = 64 << 20
    """Bytes of the lines of one attempt."""
    output_size_max: int = 16 << 20
    """Bytes of the outputs of one task run."""
    globals: dict[str, Any] = {}
    kestra: dict[str, str] = {}
    """What expressions see as `kestra`: the installation's `url` and `environment`."""
    env_vars_prefix: str = "ENV_"
    recursive_rendering: bool = False
    encryption_key: str | None = None
    local_files_allowed: tuple[str, ...] = ()
    """Folders of the worker's disk from where `file://` may be read; none by default."""

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes that are served."""
        return served(self.tags) if self.only_tags else (LANE_DEFAULT, *served(self.tags))
