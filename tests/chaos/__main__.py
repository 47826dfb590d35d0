"""The whole siege: `make chaos`."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from tests.chaos.siege import Plan, Siege, report
from tiercel.testing.server import StandaloneServer


def main() -> int:
    """Besiege a server of our own; return 0 when everything holds."""
    folder = Path(__file__).parents[2] / "build" / "chaos"
    shutil.rmtree(folder, ignore_errors=True)
    plan = Plan(executions=2000, rounds=20, restarts=2, pause_s=3.0)
    with StandaloneServer(folder) as server:
        verdict = asyncio.run(Siege(server, plan).run())
    print(report(verdict))
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
