"""
The program beside a worker that ends the worker's processes when the worker is gone; see `supervisor`.

It is started alone, without any package, and reads lines from its standard input: `+<group>` and `-<group>`. At the end
of the input it kills the named groups and all processes whose environment begins a variable with its argument.
"""

from __future__ import annotations

import os
import signal
import sys
import time

PASSES = 20
"""Looks through all processes: one that is being started while they are killed is found by the next."""


def main() -> None:
    """Wait for the end of the input, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, number_text = line[:1], line[1:].strip()
        if number_text.isdigit():
            (groups.add if sign == "+" else groups.discard)(int(number_text))
    for group in groups:
        _kill(-group)
    mark = sys.argv[1].encode()
    for _ in range(PASSES):
        if not _kill_marked(mark):
            break
        time.sleep(0.05)


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        return  # it is gone


def _kill_marked(mark: bytes) -> int:
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    marked = any(part.startswith(mark) for part in file.read().split(b"\0"))
            except OSError:
                continue
            if marked:
                _kill(int(name))
                found += 1
    return found


if __name__ == "__main__":
    main()
