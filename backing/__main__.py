"""
`make services`: get Kafka and MinIO, run them until Ctrl-C, and say how tests and Tiercel find them.

usage: python -m backing [run | prepare | lock] [kafka] [minio]
       prepare also takes [own-kafka] [own-minio] [helm] [compose] [prometheus] [pgbouncer]

run      (default) start them and wait; each has its own data and port, in a container where an engine answers
prepare  only get them: their images, or into the cache; own-…: into the cache in any case
lock     resolve the jars of Kafka anew and write `kafka.lock`
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

from backing import choice, containers, kafka_files, tools
from backing.minio import S3Address
from tiercel.errors import TiercelError
from tiercel.runtime.scratch import Scratch

LONG_S: Final = 5.0
"""What has taken longer is worth a word."""
ADDRESSES: Final[Mapping[str, Callable[[Path], AbstractContextManager[str | S3Address]]]] = {
    "kafka": choice.kafka_address,
    "minio": choice.s3_address,
}


def main(arguments: list[str]) -> int:
    """Do it; return 0 when it was done."""
    action = arguments.pop(0) if arguments[:1] and arguments[0] in ("run", "prepare", "lock") else "run"
    names = arguments or list(choice.PREPARATIONS)
    services = [*choice.PREPARATIONS]
    known = (
        [*services, *(f"{choice.OWN}{name}" for name in services), *tools.TOOLS] if action == "prepare" else services
    )
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"There is no service '{unknown[0]}'; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    try:
        if action == "lock":
            kafka_files.write_lock()
            return 0
        for name in names:
            prepare(name)
        if action == "run":
            run(names)
    except TiercelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def prepare(name: str) -> None:
    """Get a service, and say how long that took when it took long."""
    began = time.monotonic()
    if choice.takes_long(name):
        print(f"Building {name}, once: about eight minutes of two cores …", flush=True)
    choice.prepare(name)
    if time.monotonic() - began > LONG_S:
        print(f"{name} can be started, after {time.monotonic() - began:.0f} s.", flush=True)


def run(names: list[str]) -> None:
    """Start them and wait for a signal; one whose address is given runs already."""
    with Scratch("services") as folder, ExitStack() as stack:
        for name in names:
            variable = choice.VARIABLES[name]
            began = time.monotonic()
            address = stack.enter_context(ADDRESSES[name](folder / name))
            if os.environ.get(variable):
                print(f"{name} is the one that {variable} names.")
                continue
            place = "as a process" if containers.host(name) is None else "in a container"
            print(f"{name} is ready after {time.monotonic() - began:.1f} s, {place}:")
            print(f"    export {variable}={address.url if isinstance(address, S3Address) else address}")
        print("Ctrl-C stops what was started and deletes its data.", flush=True)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
