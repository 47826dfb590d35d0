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

PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Between looks through all processes: one that is being started while they are killed is found by a later one."""
PASSES_MAX = 40
"""A process that breeds faster than so many passes kill is left to the operator."""
READS = 5
"""Tries to read a process that replaces its program, which takes it milliseconds."""
READ_PAUSE_S = 0.01
"""Between two of them."""


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
    quiet = 0
    for _ in range(PASSES_MAX):
        quiet = 0 if _kill_marked(mark) else quiet + 1
        if quiet == len(PAUSES_S):
            break
        time.sleep(PAUSES_S[quiet])  # what is being started shows itself by then


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        return  # it is gone


def environment(process: str) -> list[bytes]:
    """
    Return the variables of a process; none when it is gone or another user's.

    A process that replaces its program by another one has none for a moment: it is asked again.
    """
    for _ in range(READS):
        try:
            with open(f"/proc/{process}/environ", "rb") as file:
                if found := file.read():
                    return found.split(b"\0")
            os.readlink(f"/proc/{process}/exe")  # neither a part of the kernel nor dead
        except OSError:
            break
        time.sleep(READ_PAUSE_S)  # between fork and exec there is nothing to read
    return []


def _kill_marked(mark: bytes) -> int:
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and any(part.startswith(mark) for part in environment(name)):
            _kill(int(name))
            found += 1
    return found


if __name__ == "__main__":
    main()
