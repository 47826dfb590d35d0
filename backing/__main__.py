"""
`make services`: get Kafka and MinIO, run them until Ctrl-C, and say how tests and Tiercel find them.

usage: python -m backing [run | prepare | lock] [kafka] [minio]; prepare also [helm] [compose] [prometheus] [pgbouncer]

run      (default) start them and wait; each has its own folder and port
prepare  only get them into the cache
lock     resolve the jars of Kafka anew and write `kafka.lock`
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from backing import cache, choice, kafka_files, tools
from backing.kafka import KafkaBroker
from backing.minio import MinioServer
from tiercel.errors import TiercelError


def main(arguments: list[str]) -> int:
    """Do it; return 0 when it was done."""
    action = arguments.pop(0) if arguments[:1] and arguments[0] in ("run", "prepare", "lock") else "run"
    names = arguments or list(choice.PREPARATIONS)
    known = [*choice.PREPARATIONS, *(tools.TOOLS if action == "prepare" else ())]
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
    if time.monotonic() - began > 1:
        print(f"{name} is in '{cache.root()}' after {time.monotonic() - began:.0f} s.", flush=True)


def run(names: list[str]) -> None:
    """Start them and wait for a signal."""
    with tempfile.TemporaryDirectory(prefix="tiercel-services-") as folder, ExitStack() as stack:
        if "kafka" in names:
            broker = stack.enter_context(KafkaBroker(Path(folder) / "kafka"))
            print(f"Kafka is ready after {broker.ready_s:.1f} s:")
            print(f"    export {choice.KAFKA_VARIABLE}={broker.bootstrap}")
        if "minio" in names:
            server = stack.enter_context(MinioServer(Path(folder) / "minio"))
            print(f"MinIO is ready after {server.ready_s:.1f} s:")
            print(f"    export {choice.S3_VARIABLE}={server.address.url}")
        print("Ctrl-C stops them and deletes their data.", flush=True)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
