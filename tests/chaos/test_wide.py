"""Wide loops whose processes are killed; `python -m tests.chaos --wide N` runs wider ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.verdict import report
from tests.chaos.wide import WideSiege
from tiercel.testing.server import StandaloneServer

SOONER = {
    "TIERCEL_EXECUTOR_LEASE_TTL_S": "3",
    "TIERCEL_EXECUTOR_LEASE_RENEW_S": "1",
    "TIERCEL_EXECUTOR_WORKER_TIMEOUT_S": "8",
    "TIERCEL_INDEXER_LEASE_TTL_S": "3",
    "TIERCEL_INDEXER_LEASE_INTERVAL_S": "1",
}
"""The dead are missed sooner than they usually are, so that the test is over sooner."""
BLOWS = ("worker", "executor", "indexer", "worker")
"""An executor whose forerunners died twice would take message by message: that is tested elsewhere, and slow."""


@pytest.mark.timeout(400)
async def test_no_child_of_a_wide_loop_is_lost_or_doubled_when_processes_die(
    tmp_path: Path, queue_settings: Callable[[], dict[str, str]]
) -> None:
    """Workers, executors and indexers die while wide loops run; each child is run and counted once."""
    with StandaloneServer(tmp_path, environment={**queue_settings(), **SOONER}) as server:
        siege = WideSiege(server, count=2000, blows=BLOWS, pause_s=1.0)
        verdict = await siege.run()

    assert verdict.holds, report(verdict)
    assert Counter(BLOWS) == siege.struck
    assert siege.again > 0
