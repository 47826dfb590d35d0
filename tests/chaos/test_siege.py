"""A short siege with every run of the tests; the long one is `make chaos`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.siege import Plan, Siege
from tests.chaos.verdict import report
from tiercel.testing.server import StandaloneServer


@pytest.mark.timeout(900)
async def test_nothing_is_lost_doubled_or_stuck_when_processes_die(
    tmp_path: Path, queue_settings: Callable[[], dict[str, str]]
) -> None:
    """Each process is killed and PostgreSQL cut off while executions run; all of them end well, each change once."""
    with StandaloneServer(tmp_path, environment=queue_settings()) as server:
        verdict = await Siege(server, Plan(executions=120, rounds=1, restarts=1, pause_s=2.5)).run()

    assert verdict.holds, report(verdict)
