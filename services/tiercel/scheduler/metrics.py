"""What a scheduler counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

TRIGGERS: Final = Gauge("tiercel_scheduler_triggers", "Triggers whose state this scheduler owns.")
PARTITIONS: Final = Gauge("tiercel_scheduler_partitions", "Partitions that this scheduler owns.")
EXECUTIONS: Final = Counter("tiercel_scheduler_executions", "Executions that triggers made.", ("kind",))
EVALUATIONS: Final = Counter("tiercel_scheduler_evaluations", "Evaluations that workers were asked for.")
DELAY_SECONDS: Final = Histogram(
    "tiercel_scheduler_delay_seconds",
    "Time between a schedule's date and its execution.",
    buckets=(0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 600, 3600),
)
EVENTS: Final = Counter("tiercel_scheduler_events", "Trigger events that were decided.")
BURIED: Final = Counter("tiercel_scheduler_buried_messages", "Trigger events that could not be decided: dead letters.")
LEASES_LOST: Final = Counter("tiercel_scheduler_leases_lost", "Batches that were rolled back for another owner.")
