"""What the processes of a server cost: processor time and memory, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from tiercel.testing.server import StandaloneServer

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Processes:
    """The processes of a standalone server, by name; PostgreSQL's are one."""

    def __init__(self, server: StandaloneServer) -> None:
        self._server = server

    def cpu_s(self) -> dict[str, float]:
        """Return processor seconds used so far; children that have ended count for their parent."""
        return {name: sum(_cpu_s(pid) for pid in _tree(pid, name)) for name, pid in self._server.processes().items()}

    def memory_mb(self) -> dict[str, float]:
        """Return proportional set sizes: pages that several processes share count once in the sum."""
        return {
            name: round(sum(_pss_kb(pid) for pid in _tree(pid, name)) / 1024, 1)
            for name, pid in self._server.processes().items()
        }


def _tree(pid: int, name: str) -> list[int]:
    """Return a process with its children; the supervisor's children have names of their own."""
    if name == "supervisor":
        return [pid]
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [each for child in task.read_text().split() for each in _tree(int(child), name)]
        except OSError:
            continue
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) * _TICK_S


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
