"""What an executor measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

BATCH_EVENTS = Histogram(
    "tiercel_executor_batch_events",
    "Events that one transaction decided.",
    buckets=(0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000),
)
DEAD_LETTERS = Counter("tiercel_executor_dead_letters_total", "Messages that could not be decoded.")
FAILED_EVENTS = Counter("tiercel_executor_failed_events_total", "Events whose decision raised an error.")
ENDED = Counter("tiercel_executor_execution_end_count_total", "Executions that have ended.", ["state"])
LEASES = Gauge("tiercel_executor_leases", "Partitions that this executor owns.")
LEASE_CHANGES = Counter("tiercel_executor_lease_changes_total", "Partitions that were taken or lost.")
CACHED = Gauge("tiercel_executor_cached_executions", "Executions in memory.")
LOST_WORKERS = Counter("tiercel_executor_lost_workers_total", "Workers that were silent for too long.")
