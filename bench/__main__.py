"""Run benchmarks: `python -m bench [NAME …]`; results go to `build/bench/NAME.json` and to the terminal."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from bench import calibration
from bench.benchmark import Benchmark
from bench.target import Target, own_server
from tiercel.runtime import version
from tiercel.testing.server import StandaloneServer

NAMES: Final = (
    "idle", "two_task_latency", "chain_100", "script_step", "log_lines", "foreach_1k", "cost", "one_task",
    "foreach_100k",
)  # fmt: skip
FOLDER: Final = Path(__file__).parents[1] / "build" / "bench"


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"There is no benchmark '{unknown[0]}'; there are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    c, rates = calibration.factor()
    said = f"{max(rates):,.0f}/s, c = {c:.2f}" if c is not None else "there is none, c is unknown"
    print(f"skeleton: {said}", flush=True)
    for name in names or NAMES:
        benchmark: Benchmark = importlib.import_module(f"bench.{name}").BENCHMARK
        if benchmark.needs_own_server and "BENCH_URL" in os.environ:
            print(f"{name}: left out, it looks at processes and needs a server of its own")
            continue
        print(f"{name} …", flush=True)
        report(benchmark, run(benchmark), c, rates)
    return 0


def run(benchmark: Benchmark) -> dict[str, Any]:
    """Measure on the given server, or on a fresh one."""
    if "BENCH_URL" in os.environ:
        return uvloop.run(_measure(benchmark, None))
    folder = FOLDER / "server"
    shutil.rmtree(folder, ignore_errors=True)
    with own_server(folder) as server:
        return uvloop.run(_measure(benchmark, server))


async def _measure(benchmark: Benchmark, server: StandaloneServer | None) -> dict[str, Any]:
    target = Target(server)
    try:
        return await benchmark.measure(target)
    finally:
        await target.close()
        await asyncio.sleep(0)


def report(benchmark: Benchmark, results: dict[str, Any], c: float | None, rates: list[float]) -> None:
    """Write the results down and show them."""
    calibrated = calibration.calibrated(results, benchmark.units, c)
    content = {
        "name": benchmark.name,
        "raw": results,
        "c": c,
        "skeleton_per_second": rates,
        "calibrated": calibrated,
        "method": benchmark.method,
        "versions": version.about(),
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (FOLDER / f"{benchmark.name}.json").write_text(json.dumps(content, indent=2) + "\n")
    for key, value in results.items():
        if isinstance(value, int | float):
            scaled = f"  calibrated {calibrated[key]:>10,}" if calibrated and key in benchmark.units else ""
            print(f"  {key:<18} {value:>12,}{scaled}")


def machine() -> dict[str, Any]:
    """Describe the machine as far as figures depend on it."""
    model = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    return {"cores": os.cpu_count(), "cpu": model[0] if model else platform.machine(), "memory_mb": memory}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
