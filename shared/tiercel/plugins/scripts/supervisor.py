"""
Processes die with their worker.

Every process of a task carries a mark of its worker and run in its environment. A small process beside the worker holds
the end of a pipe that only the worker holds the other end of: when the worker is gone, however it died, the pipe
closes, and whatever bears the worker's mark, or belongs to a process group that the worker has named, is killed.
The same search ends what a task has left behind in the background (a daemon leaves its group, but not its mark).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tiercel.plugins.scripts.guard import environment

MARK: Final = "TIERCEL_RUN_MARK"
_SWEEP_DELAY_S: Final = 1.0
"""Searches are gathered: one look through all processes serves all runs that ended within this time."""


class Supervisor:
    """The guard of one worker process."""

    def __init__(self) -> None:
        self._name = ""
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._numbers = 0
        self._ended: set[str] = set()
        self._sweeping = False

    @property
    def worker(self) -> str:
        """
        The name of this process. A fork has another one, and no guard yet.

        If they shared it, the guard of one that was killed would end the scripts of the one that takes its place.
        """
        if self._owner != os.getpid():
            self._owner, self._process = os.getpid(), None
            self._name = f"{self._owner}-{os.urandom(6).hex()}"
        return self._name

    def mark(self) -> str:
        """Return a mark for one run's processes."""
        self._numbers += 1
        return f"{self.worker}/{self._numbers}"

    def start(self) -> None:
        """Have the guard there before the process that it guards: this one may die between the two."""
        with self._lock:
            self._started()

    def watch(self, group: int) -> None:
        """Have a process group killed when this process is gone."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group is gone."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            for _ in range(2):
                process = self._started()
                assert process.stdin is not None
                try:
                    process.stdin.write(line.encode())
                    process.stdin.flush()
                    return
                except (BrokenPipeError, OSError):
                    # Somebody killed the guard; a new one takes its place.
                    self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        name, process = self.worker, self._process
        if process is None or process.poll() is not None:
            process = self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), f"{MARK}={name}/"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        return process

    def sweep(self, mark: str) -> None:
        """End, soon and in the background, processes that a run has left behind."""
        self._ended.add(mark)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        try:
            await asyncio.sleep(_SWEEP_DELAY_S)  # one sweep serves all runs that end in this while
            marks, self._ended = self._ended, set()
            await asyncio.to_thread(kill_marked, marks)
        finally:
            self._sweeping = False
        if self._ended:
            self.sweep(self._ended.pop())


def kill_marked(marks: Iterable[str]) -> int:
    """Kill every process whose environment bears one of these marks; return how many."""
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    killed = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        if not wanted.isdisjoint(environment(name)):
            with contextlib.suppress(OSError):
                os.kill(int(name), signal.SIGKILL)
                killed += 1
    return killed


SUPERVISOR: Final = Supervisor()
"""One per process: what it guards are the children of this process."""
