"""What an indexer counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

MESSAGES: Final = Counter("tiercel_indexer_messages", "Messages of history that were written.")
BATCH_SIZE: Final = Histogram(
    "tiercel_indexer_batch_messages", "Messages of one transaction.", buckets=(1, 3, 10, 30, 100, 300, 1000, 3000)
)
BATCH_SECONDS: Final = Histogram(
    "tiercel_indexer_batch_seconds", "Time of one transaction.", buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
)
BURIED: Final = Counter("tiercel_indexer_buried_messages", "Messages that could not be written: dead letters.")
LEASES_LOST: Final = Counter("tiercel_indexer_leases_lost", "Batches that were written but whose lease was lost.")
