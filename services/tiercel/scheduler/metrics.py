"""What a scheduler counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Summary

from tiercel.runtime.metrics import FLOW_LABELS, SECONDS

LOOPS: Final = Counter("tiercel_scheduler_loop_count", "Batches of triggers that came due.")
LOOP_SECONDS: Final = Summary("tiercel_scheduler_evaluation_loop_duration_seconds", "Time of one such batch.")
EXECUTIONS: Final = Counter(
    "tiercel_scheduler_trigger_count", "Executions that triggers made.", (*FLOW_LABELS, "trigger_type")
)
EVALUATIONS: Final = Counter("tiercel_scheduler_evaluate_count", "Evaluations that workers were asked for.")
DELAY_SECONDS: Final = Histogram(
    "tiercel_scheduler_trigger_delay_duration_seconds",
    "Time between a schedule's date and its execution.",
    buckets=SECONDS,
)
LOCK_SECONDS: Final = Summary(
    "tiercel_scheduler_execution_lock_duration_seconds", "Time that triggers waited for their execution to end."
)
TRIGGERS: Final = Gauge("tiercel_scheduler_triggers", "Triggers whose state this scheduler owns.")
EVENTS: Final = Counter("tiercel_scheduler_events", "Trigger events that were decided.")
BATCH_SIZE: Final = Histogram(
    "tiercel_scheduler_batch_triggers", "Triggers that one transaction changed.", buckets=(1, 3, 10, 30, 100, 300, 1000)
)
BURIED: Final = Counter("tiercel_scheduler_buried_messages", "Trigger events that could not be decided: dead letters.")
LEASES: Final = Gauge("tiercel_scheduler_leases", "Partitions that this scheduler owns.")
LEASE_CHANGES: Final = Counter("tiercel_scheduler_lease_changes", "Partitions that were taken or lost.")
LEASES_LOST: Final = Counter("tiercel_scheduler_leases_lost", "Batches that were rolled back for another owner.")
