"""What a worker counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RUNNING: Final = Gauge("tiercel_worker_running_tasks", "Tasks that run now.")
STARTED: Final = Counter("tiercel_worker_started_tasks", "Jobs that were started.")
ENDED: Final = Counter("tiercel_worker_ended_tasks", "Jobs that have ended.")
TASK_SECONDS: Final = Histogram(
    "tiercel_worker_task_seconds",
    "Time that tasks ran.",
    buckets=(0.001, 0.01, 0.1, 1, 10, 60, 600, 3600),
)
KILLED: Final = Counter("tiercel_worker_killed_tasks", "Tasks that were killed on request.")
RETURNED: Final = Counter("tiercel_worker_returned_jobs", "Jobs that were handed back unstarted.")
CLAIM_SIZE: Final = Histogram("tiercel_worker_claim_jobs", "Jobs of one claim.", buckets=(0, 1, 3, 10, 30, 100))
BATCH_SIZE: Final = Histogram(
    "tiercel_worker_batch_reports", "Reports of one transaction.", buckets=(0, 1, 3, 10, 30, 100, 300)
)
SILENT_SECONDS: Final = Gauge("tiercel_worker_silent_seconds", "Time since the last heartbeat that was sent.")
