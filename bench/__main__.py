"""
Run benchmarks: `python -m bench [NAME …]`; results go to `build/bench/NAME.json`, a table to the terminal.

BENCH_QUEUE=kafka measures servers on a broker of their own (on the same cores).
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import platform
import shutil
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from backing import choice
from backing.minio import MinioServer, S3Address
from bench import bars, calibration
from bench.benchmark import Benchmark
from bench.target import Target, own_server
from tiercel.runtime import version
from tiercel.runtime.scratch import Scratch
from tiercel.testing.server import StandaloneServer

NAMES: Final = (
    "idle", "two_task_latency", "chain_100", "script_step", "log_lines", "foreach_1k", "cost", "one_task",
    "foreach_100k", "workers", "loop_100k", "foreach_item", "storage_2gb",
)  # fmt: skip
FOLDER: Final = Path(__file__).parents[1] / "build" / "bench"


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them; return 1 when one of them could not be measured."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"There is no benchmark '{unknown[0]}'; there are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    c, rates = calibration.factor()
    said = f"{max(rates):,.0f}/s, c = {c:.2f}" if c is not None else "there is none here, figures are raw"
    print(f"skeleton: {said}", flush=True)
    rows, broken = [], []
    for name in names or NAMES:
        benchmark: Benchmark = importlib.import_module(f"bench.{name}").BENCHMARK
        if benchmark.needs_own_server and "BENCH_URL" in os.environ:
            print(f"{name}: left out, it looks at processes and needs a server of its own")
            continue
        print(f"{name} …", flush=True)
        try:
            results = run(benchmark)
        except (AssertionError, RuntimeError, OSError) as error:
            broken.append(f"{name} could not be measured: {error!r}")
            print(f"  {broken[-1]}", file=sys.stderr, flush=True)
            continue
        calibrated = write_down(benchmark, results, c, rates)
        rows += bars.rows(name, results, calibrated)
    print(f"\n{bars.table(rows)}")
    for sentence in broken:
        print(sentence, file=sys.stderr)
    return 1 if broken else 0


def run(benchmark: Benchmark) -> dict[str, Any]:
    """Measure on the given server, or on a fresh one."""
    if "BENCH_URL" in os.environ:
        return uvloop.run(_measure(benchmark, None))
    with Scratch("bench") as folder:
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with ExitStack() as stack:
            bucket = None
            if benchmark.needs_bucket:
                minio = MinioServer(folder / "minio", environment=benchmark.bucket_environment)
                bucket = stack.enter_context(minio).address
            queue = stack.enter_context(choice.queue_settings(os.environ.get("BENCH_QUEUE", ""), folder / "kafka"))
            server = own_server(folder, bucket, {**queue, **benchmark.environment})
            try:
                stack.enter_context(server)
                return uvloop.run(_measure(benchmark, server, bucket))
            finally:
                shutil.copyfile(server.log_file, FOLDER / f"{benchmark.name}.log")


async def _measure(
    benchmark: Benchmark, server: StandaloneServer | None, bucket: S3Address | None = None
) -> dict[str, Any]:
    target = Target(server, bucket)
    try:
        return await benchmark.measure(target)
    finally:
        await target.close()
        await asyncio.sleep(0)  # let the connections close


def write_down(
    benchmark: Benchmark, results: dict[str, Any], c: float | None, rates: list[float]
) -> dict[str, Any] | None:
    """Write `NAME.json`; return the calibrated figures, None without a calibration."""
    calibrated = calibration.calibrated(results, benchmark.units, c)
    content = {
        **results,
        "c": c,
        "calibrated": calibrated,
        "skeleton_per_second": rates,
        "name": benchmark.name,
        "method": benchmark.method,
        "versions": version.about(),
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (FOLDER / f"{benchmark.name}.json").write_text(json.dumps(content, indent=2) + "\n")
    return calibrated


def machine() -> dict[str, Any]:
    """Describe the machine as far as figures depend on it."""
    model = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    return {"cores": os.cpu_count(), "cpu": model[0] if model else platform.machine(), "memory_mb": memory}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
