"""A file of 2 GB from a script into a bucket, and back to the next script's folder."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from minio import Minio

from backing.minio import S3Address
from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import BUCKET, Target

MEGABYTES: Final = 2048
WARM_UP_MEGABYTES: Final = 64
TURNS: Final = 2


async def measure(target: Target) -> Results:
    """Measure the client alone and Tiercel in turns, and compare the best of each."""
    assert target.server is not None
    assert target.bucket is not None
    await target.put_flow(flows.LARGE_FILE)
    await through_tiercel(target, WARM_UP_MEGABYTES)
    file = target.server.folder / "client.bin"
    ups, downs, own_ups, own_downs = [], [], [], []
    for _ in range(TURNS):
        up, down = await asyncio.to_thread(with_the_client, target.bucket, file)
        own_up, own_down = await through_tiercel(target, MEGABYTES)
        ups.append(up)
        downs.append(down)
        own_ups.append(own_up)
        own_downs.append(own_down)
    return {
        "upload_mb_s": round(max(own_ups), 1),
        "upload_percent": round(100 * max(own_ups) / max(ups), 1),
        "download_mb_s": round(max(own_downs), 1),
        "download_percent": round(100 * max(own_downs) / max(downs), 1),
        "worker_mb": round(most_memory_mb(target.server.processes()["worker"]), 1),
        "client_upload_mb_s": [round(rate, 1) for rate in ups],
        "client_download_mb_s": [round(rate, 1) for rate in downs],
        "all_upload_mb_s": [round(rate, 1) for rate in own_ups],
        "all_download_mb_s": [round(rate, 1) for rate in own_downs],
    }


def with_the_client(address: S3Address, file: Path) -> tuple[float, float]:
    """Return how many MB/s the library's own file functions move, as they are set up by default."""
    client = Minio(address.endpoint.partition("://")[2], address.access_key, address.secret_key, secure=False)
    with file.open("wb") as output:
        for _ in range(MEGABYTES // 8):
            output.write(os.urandom(8 << 20))
        os.fsync(output.fileno())
    began = time.monotonic()
    client.fput_object(BUCKET, "client.bin", str(file))
    stored = time.monotonic()
    file.unlink()
    client.fget_object(BUCKET, "client.bin", str(file))
    got = time.monotonic()
    file.unlink()
    client.remove_object(BUCKET, "client.bin")
    return MEGABYTES / (stored - began), MEGABYTES / (got - stored)


async def through_tiercel(target: Target, megabytes: int) -> tuple[float, float]:
    """Return the same of a worker, see `method`."""
    execution = await target.ended(await target.start("large-file", {"megabytes": str(megabytes)}))
    assert execution["state"]["current"] == "SUCCESS", execution["state"]
    make, take = execution["taskRunList"]
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
        f"A script writes {MEGABYTES} MB, an output file; the next has it as an input file. Upload: from the end of "
        "the first script to that of its task. Download: from the start of the second task to that of its script. "
        f"Each in percent of what fput_object and fget_object of the minio client move here, best of {TURNS} "
        "turns; worker_mb: the most resident memory of the worker."
    ),
    units={"upload_mb_s": Unit.RATE, "download_mb_s": Unit.RATE},
    measure=measure,
    needs_own_server=True,
    needs_bucket=True,
)
