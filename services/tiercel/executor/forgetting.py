"""
Executions that are over leave the state store: when history has them, and when they have been over for long enough.

They go a page at a time, and page after page for as long as whole pages can go: a wide Loop ends a hundred thousand of
them within minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from tiercel.repository.base import Repository
from tiercel.runtime.clock import Clock
from tiercel.statestore.base import StateStore

PAGE: Final = 1000
"""Executions that one transaction forgets: few enough for it to be short."""
INTERVAL_S: Final = 60.0
"""Between two looks when the last one left nothing behind."""
PAUSE_S: Final = 0.5
"""Between two pages: who works on events at the same time shall not feel it."""


class Forgetting:
    """Removes what is over, of the partitions that this executor owns."""

    def __init__(self, store: StateStore, repository: Repository, clock: Clock, kept_after_end_s: float) -> None:
        self._store = store
        self._repository = repository
        self._clock = clock
        self._kept = timedelta(seconds=kept_after_end_s)

    async def page(self, partitions: Sequence[int]) -> float:
        """Forget a page of executions, the oldest first; return how many seconds later there may be more."""
        ended = await self._store.ended_before(partitions, self._clock.now() - self._kept, PAGE)
        if not ended:
            return INTERVAL_S
        confirmed = await self._repository.confirmed([execution_id for execution_id, _ in ended])
        known = [(name, version) for name, version in ended if confirmed.get(name, -1) >= version]
        await self._store.forget_ended(known)
        return PAUSE_S if len(known) == PAGE else INTERVAL_S
