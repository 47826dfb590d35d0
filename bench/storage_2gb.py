"""
A file of 2 GB from a script into a bucket, and back to the next script's folder, beside what the minio client does.

How it is kept fair: both do the same things with the same disk and the same MinIO, step by step. A command writes the
file, it goes to the disk (`sync`), it is uploaded, it is removed, and after a rest it is downloaded: who uploads a file
that has lain in the page cache for minutes finds the disk and the memory in another state than who uploads one that was
just written. They take turns, and every other turn the other one begins; the percentage is the median of those of the
turns. MinIO keeps what it has written in the page cache, where it reads it again: by default it reads past the cache,
and the download is then the disk's reading rate, whoever asks. The start of the script's interpreter counts as
download. How far the execution is we ask seldom: the answers would cost processor time that both need.

Disks of rented machines are fast until their credit is used up. `client_spread` is the client's fastest measurement by
its slowest: far above 1, the figures are the disk's. BENCH_FILE_MB makes smaller files, and with TMPDIR in a folder of
/dev/shm (8 GB are needed) neither MinIO nor a script has to do with a disk.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from datetime import datetime
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, Final

from minio import Minio

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import BUCKET, Target

MEGABYTES: Final = int(os.environ.get("BENCH_FILE_MB", "2048"))
WARM_UP_MEGABYTES: Final = 64
"""Opens all connections and fills no cache of the disk."""
TURNS: Final = 6
"""The median of so many is told; an even number, so that both begin equally often."""
REST_S: Final = 3
"""Longer than it takes to remove a file of this size."""
LOOK_EVERY_S: Final = 1.0
"""What is measured has dates of its own."""

Rates = tuple[float, float]
"""MB/s up and down."""


async def measure(target: Target) -> Results:
    """Measure the client alone and Tiercel in turns, and compare them turn by turn."""
    assert target.server is not None
    await target.put_flow(flows.LARGE_FILE)
    await through_tiercel(target, WARM_UP_MEGABYTES)
    client: list[Rates] = []
    own: list[Rates] = []
    for turn in range(TURNS):
        if turn % 2 == 0:
            client.append(await asyncio.to_thread(with_the_client, target))
            own.append(await through_tiercel(target, MEGABYTES))
        else:
            own.append(await through_tiercel(target, MEGABYTES))
            client.append(await asyncio.to_thread(with_the_client, target))
    results: Results = {}
    for number, direction in enumerate(("upload", "download")):
        ours, theirs = ([rates[number] for rates in turns] for turns in (own, client))
        results |= {
            f"{direction}_mb_s": round(median(ours), 1),
            f"{direction}_percent": round(100 * median(map(truediv, ours, theirs)), 1),
            f"client_{direction}_mb_s": [round(rate, 1) for rate in theirs],
            f"all_{direction}_mb_s": [round(rate, 1) for rate in ours],
        }
    results["client_spread"] = round(max(max(rates) / min(rates) for rates in zip(*client, strict=True)), 2)
    return {**results, "worker_mb": round(most_memory_mb(target.server.processes()["worker"]), 1)}


def with_the_client(target: Target) -> Rates:
    """Return how many MB/s the library's own file functions move, as they are set up by default."""
    assert target.server is not None
    assert target.bucket is not None
    address, file = target.bucket, target.server.folder / "client.bin"
    back = file.with_name("back.bin")
    client = Minio(address.endpoint.partition("://")[2], address.access_key, address.secret_key, secure=False)
    write_random(file)
    began = time.monotonic()
    client.fput_object(BUCKET, file.name, str(file))
    upload_s = time.monotonic() - began
    file.unlink()
    time.sleep(REST_S)  # what happens to removed blocks shows nowhere
    settle(file.parent)
    began = time.monotonic()
    client.fget_object(BUCKET, file.name, str(back))
    download_s = time.monotonic() - began
    back.unlink()
    client.remove_object(BUCKET, file.name)
    return MEGABYTES / upload_s, MEGABYTES / download_s


def write_random(file: Path) -> None:
    """Make the file that the client moves, as the script makes its own."""
    with file.open("wb") as output:
        subprocess.run(["head", "-c", f"{MEGABYTES}M", "/dev/urandom"], stdout=output, check=True)
    settle(file.parent)


def settle(folder: Path) -> None:
    """Return when everything is on the disk."""
    subprocess.run(["sync", "-f", str(folder)], check=True)


async def through_tiercel(target: Target, megabytes: int) -> Rates:
    """Return the same of a worker, see `method`."""
    inputs = {"megabytes": str(megabytes), "rest": str(REST_S)}
    execution = await target.ended(await target.start("large-file", inputs), every_s=LOOK_EVERY_S)
    assert execution["state"]["current"] == "SUCCESS", execution["state"]
    make, _, take = execution["taskRunList"]
    assert take["outputs"]["vars"]["bytes"] == megabytes << 20, take["outputs"]
    await target.call("DELETE", f"/executions/{execution['id']}")
    upload_s = at(make, "SUCCESS") - float(make["outputs"]["vars"]["at"])
    download_s = float(take["outputs"]["vars"]["at"]) - at(take, "RUNNING")
    return megabytes / upload_s, megabytes / download_s


def at(run: dict[str, Any], state: str) -> float:
    """Return when a task run took a state."""
    dates = [entry["date"] for entry in run["state"]["histories"] if entry["state"] == state]
    return datetime.fromisoformat(dates[-1]).timestamp()


def most_memory_mb(pid: int) -> float:
    """Return the most memory that a process has held so far; pages that it shares with others are counted in full."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


BENCHMARK = Benchmark(
    name="storage_2gb",
    method=(
        f"A script writes {MEGABYTES} MB, an output file; a later one has it as an input file. Upload: from the end of "
        "the first script to that of its task. Download: from the start of the later task to that of its script. "
        f"Each in percent of what fput_object and fget_object of the minio client move here with a file that was just "
        f"written, too: median of {TURNS} turns, in which now the one and now the other begins; worker_mb: the most "
        "resident memory of the worker."
    ),
    units={"upload_mb_s": Unit.RATE, "download_mb_s": Unit.RATE},
    measure=measure,
    needs_own_server=True,
    needs_bucket=True,
    bucket_environment={"MINIO_API_ODIRECT": "off"},
)
