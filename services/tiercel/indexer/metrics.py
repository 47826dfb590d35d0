"""What an indexer counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Summary

from tiercel.runtime.metrics import SECONDS

REQUESTS: Final = Counter("tiercel_indexer_request_count", "Batches that were read.")
REQUEST_SECONDS: Final = Summary(
    "tiercel_indexer_request_duration_seconds", "Time from the reading of a batch to its acknowledgement."
)
RETRIES: Final = Counter("tiercel_indexer_request_retry_count", "Batches that were tried again.")
SERVER_SECONDS: Final = Summary("tiercel_indexer_server_duration_seconds", "Time that the repository took for a batch.")
RECEIVED: Final = Counter("tiercel_indexer_message_in_count", "Messages of history that were read.")
WRITTEN: Final = Counter("tiercel_indexer_message_out_count", "Messages of history that were written.")
BURIED: Final = Counter(
    "tiercel_indexer_message_failed_count", "Messages that could not be written: they are dead letters."
)
BATCH_SIZE: Final = Histogram(
    "tiercel_indexer_batch_messages", "Messages of one transaction.", buckets=(1, 3, 10, 30, 100, 300, 1000, 3000)
)
BATCH_SECONDS: Final = Histogram("tiercel_indexer_batch_seconds", "Time of one transaction.", buckets=SECONDS)
LEASES: Final = Gauge("tiercel_indexer_leases", "Partitions that this indexer owns.")
LEASE_CHANGES: Final = Counter("tiercel_indexer_lease_changes", "Partitions that were taken or lost.")
LEASES_LOST: Final = Counter("tiercel_indexer_leases_lost", "Batches that were written but whose lease was lost.")
