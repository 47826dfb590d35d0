"""
The oldest snapshot in the database of queue and state.

As long as a transaction holds a snapshot, rows that were deleted after it began cannot be removed, and every claim has
to pass over them: a query of minutes in this database slows everything. It is measured, and `/health` warns of it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tiercel.errors import Unavailable
from tiercel.runtime.health import Concern
from tiercel.runtime.postgres import metrics
from tiercel.runtime.postgres.pool import PostgresPool
from tiercel.runtime.postgres.statement import Statements

log = logging.getLogger(__name__)

WARN_S: Final = 30.0
"""Our own transactions last 15 s at most; at thousands of messages a second a minute is felt."""
INTERVAL_S: Final = 10.0
"""Between two looks: several fit into what is warned of."""
_SQL: Final = Statements("tiercel.runtime.postgres", "snapshot.sql")


class OldestSnapshot:
    """Asks the server whose snapshot is the oldest; a check of `/health`."""

    def __init__(self, pool: PostgresPool, warn_s: float = WARN_S) -> None:
        self._pool = pool
        self._warn_s = warn_s
        self._task: asyncio.Task[None] | None = None

    async def __call__(self) -> Concern | None:
        """Return a warning when the oldest one is old; None while the server is away, which others tell."""
        try:
            rows = await self._pool.fetch(_SQL["oldest"], {})
        except Unavailable:
            return None
        age_s, who = rows[0] if rows else (0.0, "")
        metrics.OLDEST_SNAPSHOT_SECONDS.set(age_s)
        if age_s < self._warn_s:
            return None
        return Concern(
            f"A transaction of {age_s:.0f} s ({who}) in the queue's database keeps dead rows from being removed and "
            "slows every claim; end it, and read from another database than this one."
        )

    def start(self) -> None:
        """Measure in the background, until closed."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="postgres.snapshot")

    async def _run(self) -> None:
        while True:
            concern = await self()
            if concern is not None:
                log.warning("%s", concern, extra={"action": "snapshot_old"})
            await asyncio.sleep(INTERVAL_S)  # age is what is looked for

    async def close(self) -> None:
        """Stop measuring."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
