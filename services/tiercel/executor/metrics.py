"""What an executor measures."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Summary

from tiercel.runtime.metrics import FLOW_LABELS, SECONDS

_STATE_LABELS: Final = (*FLOW_LABELS, "state")

STARTED: Final = Counter("tiercel_executor_execution_started_count", "Executions that have begun.", FLOW_LABELS)
ENDED: Final = Counter("tiercel_executor_execution_end_count", "Executions that have ended.", _STATE_LABELS)
EXECUTION_SECONDS: Final = Summary(
    "tiercel_executor_execution_duration_seconds", "Time from the creation of executions to their end.", _STATE_LABELS
)
RUNS_CREATED: Final = Counter("tiercel_executor_taskrun_created_count", "Task runs that were created.", FLOW_LABELS)
RUNS_ENDED: Final = Counter("tiercel_executor_taskrun_ended_count", "Task runs that have ended.", _STATE_LABELS)
RUN_SECONDS: Final = Summary(
    "tiercel_executor_taskrun_ended_duration_seconds",
    "Time from the creation of task runs to their end.",
    _STATE_LABELS,
)
FLOWABLES: Final = Counter("tiercel_executor_flowable_execution_count", "Flowable tasks that were run.", FLOW_LABELS)
QUEUED: Final = Counter("tiercel_executor_execution_queued_count", "Executions that wait for a slot.", FLOW_LABELS)
POPPED: Final = Counter("tiercel_executor_execution_popped_count", "Executions that got their slot.", FLOW_LABELS)
KILLED: Final = Counter("tiercel_executor_killed_count", "Executions that were asked to be killed.", FLOW_LABELS)
SLA_EXPIRED: Final = Counter("tiercel_executor_sla_expired_count", "Agreements on the duration violated.", FLOW_LABELS)
SLA_VIOLATIONS: Final = Counter("tiercel_executor_sla_violation_count", "Agreements that were violated.", FLOW_LABELS)
DELAYS: Final = Counter("tiercel_executor_execution_delay_created_count", "Pauses and delays begun.", FLOW_LABELS)
DELAYS_ENDED: Final = Counter("tiercel_executor_execution_delay_ended_count", "Pauses and delays ended.", FLOW_LABELS)
RESUBMITS: Final = Counter(
    "tiercel_executor_worker_job_resubmit_count", "Jobs that were sent again, their worker being lost.", FLOW_LABELS
)
EVENT_SECONDS: Final = Summary(
    "tiercel_executor_execution_message_process_seconds", "Time that the decision of one event took."
)
THREADS: Final = Gauge("tiercel_executor_thread_count", "Always 1: one loop decides; more executors decide more.")
THREADS.set(1)

LAG_SECONDS: Final = Histogram(
    "tiercel_executor_event_lag_seconds", "Time between an event and its decision.", buckets=SECONDS
)
BATCH_EVENTS: Final = Histogram(
    "tiercel_executor_batch_events",
    "Events that one transaction decided.",
    buckets=(0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000),
)
BATCH_SECONDS: Final = Histogram(
    "tiercel_executor_batch_seconds", "Time of one batch, its transaction included.", buckets=SECONDS
)
DEAD_LETTERS: Final = Counter("tiercel_executor_dead_letters_total", "Messages that could not be decoded.")
KILLERS: Final = Counter("tiercel_executor_killers", "Messages whose owners died each time, gone to the dead letters.")
FAILED_EVENTS: Final = Counter("tiercel_executor_failed_events_total", "Events whose decision raised an error.")
LEASES: Final = Gauge("tiercel_executor_leases", "Partitions that this executor owns.")
LEASE_CHANGES: Final = Counter("tiercel_executor_lease_changes_total", "Partitions that were taken or lost.")
REFUSED: Final = Counter("tiercel_executor_refused_batches", "Batches that were rolled back for another owner.")
CACHED: Final = Gauge("tiercel_executor_cached_executions", "Executions in memory.")
LOST_WORKERS: Final = Counter("tiercel_executor_lost_workers_total", "Workers that were silent for too long.")
