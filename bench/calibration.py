"""
How fast this machine is: the whole durable path with no logic in it, best of three.

A rate is multiplied by c = 12,000 / (what the skeleton reaches here), a time is divided by it. The skeleton is a
program of its own (BENCH_SKELETON, by default `../shared/bench/skeleton.py`) that needs PG_URI; without it
c is unknown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.benchmark import Unit
from tiercel.runtime.embedded import EmbeddedPostgres
from tiercel.runtime.scratch import Scratch

REFERENCE: Final = 12_000.0
"""Commits a second of the skeleton on the machine that all figures are converted to."""
RUNS: Final = 3
"""The best of so many counts: others may use the machine meanwhile."""
SKELETON: Final = Path(__file__).parents[2] / "shared" / "bench" / "skeleton.py"


def factor() -> tuple[float | None, list[float]]:
    """Return c and the rates that were seen, None when there is no skeleton."""
    program = Path(os.environ.get("BENCH_SKELETON", SKELETON))
    if not program.exists():
        return None, []
    with Scratch("bench") as folder, EmbeddedPostgres(folder) as server:
        folder.chmod(0o755)
        rates = [_rate(program, server.uri()) for _ in range(RUNS)]
    return REFERENCE / max(rates), rates


def _rate(program: Path, uri: str) -> float:
    done = subprocess.run(
        [sys.executable, program], env={**os.environ, "PG_URI": uri}, capture_output=True, text=True, check=True
    )
    found = re.search(r"= (\d+) exec/s", done.stdout)
    if found is None:
        raise RuntimeError(f"The skeleton printed no rate: {done.stdout[-500:]}")
    return float(found[1])


def calibrated(results: dict[str, Any], units: Any, c: float | None) -> dict[str, Any] | None:
    """Return what the figures would be on the machine of reference."""
    if c is None:
        return None
    scaled: dict[str, Any] = {}
    for key, value in results.items():
        unit = units.get(key, Unit.AS_IS)
        if not isinstance(value, int | float) or unit is Unit.AS_IS:
            scaled[key] = value
        else:
            scaled[key] = round(value * c if unit is Unit.RATE else value / c, 3)
    return scaled
