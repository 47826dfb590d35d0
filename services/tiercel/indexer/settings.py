"""What an operator may set for an indexer."""

from __future__ import annotations

from datetime import timedelta

import msgspec


class IndexerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times; the defaults serve from a laptop to thousands of executions a second."""

    batch_size_max: int = 1000
    """Messages of one transaction: beyond this the cost of a message no longer falls."""
    linger_s: float = 0.08
    """Pause after a batch that was small, so that the next one is larger: lists lag by it, single reads do not."""
    wait_s: float = 1.0
    """Safety net when a wake-up is lost."""
    lease_interval_s: float = 3.0
    """How often its partitions are renewed: three tries before they are lost."""
    lease_ttl_s: float = 10.0
    """An indexer that is silent for this long loses its partitions to others."""
    ledger_age: timedelta = timedelta(days=1)
    """How long a batch of logs is recognized when it comes again; the queue is never that far behind."""
    retention: timedelta | None = None
    """History older than this is dropped, by whole weeks; without it everything is kept."""
    janitor_interval_s: float = 3600.0
    """How often what is too old is dropped."""
