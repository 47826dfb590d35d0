"""
The whole siege: `python -m tests.chaos [--executions N] [--kills N] [--restarts N]`, as `make chaos` runs it.

With `--queue kafka` messages go through a broker and files through a MinIO, which are restarted too; `--files` takes
one of them without the other.

With `--wide N` loops over N values are besieged instead: `--kills` says how often each of their processes is killed,
`--rows N` how many rows of 100 bytes the file has that a ForEachItem goes over in batches of 10,000.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sys
from pathlib import Path
from typing import Final

from backing import choice
from backing.kafka import KafkaBroker
from backing.minio import MinioServer
from backing.process import BackingProcess
from tests.chaos import wide
from tests.chaos.siege import VICTIMS, Plan, Siege
from tests.chaos.verdict import report
from tiercel.testing.server import StandaloneServer

BUCKET: Final = "tiercel-chaos"
PART_SIZE_MB: Final = "5"
"""The smallest, so that a file has several."""


def main(arguments: list[str]) -> int:
    """Besiege a server of our own; return 0 when everything holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--executions", type=int, default=2000, help="so many are started (2000)")
    parser.add_argument("--kills", type=int, default=20, help=f"so often each of {', '.join(VICTIMS)} is killed (20)")
    parser.add_argument("--restarts", type=int, default=2, help="so often each of PostgreSQL, Kafka, MinIO is (2)")
    parser.add_argument("--wide", type=int, default=0, help="besiege loops over so many values instead")
    parser.add_argument("--rows", type=int, default=0, help="with --wide: of a file in batches of 10,000 (small ones)")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two blows (3)")
    parser.add_argument("--queue", choices=("postgres", "kafka"), default="postgres", help="on which queue (postgres)")
    parser.add_argument("--files", choices=("folder", "minio"), help="where files go (minio with kafka, else folder)")
    given = parser.parse_args(arguments)
    files = given.files or ("minio" if given.queue == "kafka" else "folder")
    folder = Path(__file__).parents[2] / "build" / "chaos"
    shutil.rmtree(folder, ignore_errors=True)
    plan = Plan(executions=given.executions, rounds=given.kills, restarts=given.restarts, pause_s=given.pause)
    with contextlib.ExitStack() as stack:
        backing: dict[str, BackingProcess] = {}
        environment: dict[str, str] = {}
        if given.queue == "kafka":
            choice.prepare("own-kafka")
            backing["kafka"] = broker = stack.enter_context(KafkaBroker(folder / "kafka"))
            environment |= choice.on_kafka(broker.bootstrap)
        if files == "minio":
            choice.prepare("own-minio")
            backing["minio"] = store = stack.enter_context(MinioServer(folder / "minio"))
            environment |= {**store.address.environment(BUCKET), "TIERCEL_STORAGE_S3_PART_SIZE_MB": PART_SIZE_MB}
        server = stack.enter_context(StandaloneServer(folder, environment=environment))
        if given.wide:
            blows = wide.VICTIMS * given.kills
            batches = wide.large_batches(given.rows) if given.rows else None
            siege = wide.WideSiege(server, given.wide, blows, given.pause, batches)
            verdict = asyncio.run(siege.run())
            print(", ".join(f"{name} killed {count} times" for name, count in siege.struck.items()))
            print(f"task runs that were run again: {siege.again}")
        else:
            verdict = asyncio.run(Siege(server, plan, backing).run())
    print(report(verdict))
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
