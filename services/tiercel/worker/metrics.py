"""What a worker counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Summary

from tiercel.messages.worker_job import TaskJob, TriggerJob
from tiercel.runtime.metrics import FLOW_LABELS, FLOWS, SECONDS

_TASK_LABELS: Final = (*FLOW_LABELS, "task_type")
_TRIGGER_LABELS: Final = (*FLOW_LABELS, "trigger_type")

SLOTS: Final = Gauge("tiercel_worker_job_thread", "Slots: jobs that this worker runs at the same time at most.")
FREE_SLOTS: Final = Gauge("tiercel_worker_job_free", "Slots in which nothing runs.")
JOBS_RUNNING: Final = Gauge("tiercel_worker_job_running", "Slots in which a task or an evaluation of a trigger runs.")
JOBS_PENDING: Final = Gauge(
    "tiercel_worker_job_pending",
    "Always 0: a worker claims only what it has a slot for. What waits is `tiercel_queue_messages` of `worker_job`.",
)
RUNNING: Final = Gauge("tiercel_worker_running_count", "Tasks that run now.")
STARTED: Final = Counter("tiercel_worker_started_count", "Tasks that were started.", _TASK_LABELS)
ENDED: Final = Counter("tiercel_worker_ended_count", "Tasks that have ended.", (*_TASK_LABELS, "state"))
ENDED_SECONDS: Final = Summary(
    "tiercel_worker_ended_duration_seconds", "Time that tasks ran.", (*_TASK_LABELS, "state")
)
QUEUED_SECONDS: Final = Summary(
    "tiercel_worker_queued_duration_seconds", "Time between the sending of a job and its start.", _TASK_LABELS
)
TIMEOUTS: Final = Counter("tiercel_worker_timeout_count", "Tasks that took longer than their timeout.", _TASK_LABELS)
KILLED: Final = Counter("tiercel_worker_killed_count", "Tasks that were killed on request.")
TASK_SECONDS: Final = Histogram("tiercel_worker_task_seconds", "Time that tasks ran, of all flows.", buckets=SECONDS)
WAIT_SECONDS: Final = Histogram(
    "tiercel_worker_wait_seconds", "Time between the sending of a job and its start, of all flows.", buckets=SECONDS
)

TRIGGERS_RUNNING: Final = Gauge("tiercel_worker_trigger_running_count", "Evaluations of triggers that run now.")
TRIGGERS_STARTED: Final = Counter(
    "tiercel_worker_trigger_started_count", "Evaluations that were started.", _TRIGGER_LABELS
)
TRIGGERS_ENDED: Final = Counter("tiercel_worker_trigger_ended_count", "Evaluations that have ended.", _TRIGGER_LABELS)
TRIGGER_ERRORS: Final = Counter("tiercel_worker_trigger_error_count", "Evaluations that have failed.", _TRIGGER_LABELS)
TRIGGER_EXECUTIONS: Final = Counter(
    "tiercel_worker_trigger_execution_count", "Evaluations that ask for an execution.", _TRIGGER_LABELS
)
TRIGGER_SECONDS: Final = Summary(
    "tiercel_worker_trigger_duration_seconds", "Time that evaluations ran.", _TRIGGER_LABELS
)

RETURNED: Final = Counter("tiercel_worker_returned_jobs", "Jobs that were handed back unstarted.")
LOST: Final = Counter("tiercel_worker_lost_tasks", "Tasks that were given up, for others to run them again.")
CLAIM_SIZE: Final = Histogram("tiercel_worker_claim_jobs", "Jobs of one claim.", buckets=(0, 1, 3, 10, 30, 100))
BATCH_SIZE: Final = Histogram(
    "tiercel_worker_batch_reports", "Reports of one transaction.", buckets=(0, 1, 3, 10, 30, 100, 300)
)
REPORTS_WAITING: Final = Gauge("tiercel_worker_waiting_reports", "Reports and lines of log that wait to be sent.")
SILENT_SECONDS: Final = Gauge("tiercel_worker_silent_seconds", "Time since the last heartbeat that was sent.")


def task_labels(job: TaskJob, task_type: str) -> tuple[str, ...]:
    """Return the labels of a task's series."""
    return (*FLOWS.labels(job.tenant_id, job.namespace, job.flow_id), task_type)


def trigger_labels(job: TriggerJob, trigger_type: str) -> tuple[str, ...]:
    """Return the labels of a trigger's series."""
    return (*FLOWS.labels(job.tenant_id, job.namespace, job.flow_id), trigger_type)


def slots(count: int, tasks: int, triggers: int) -> None:
    """Tell what the slots are used for."""
    SLOTS.set(count)
    FREE_SLOTS.set(max(0, count - tasks - triggers))
    JOBS_RUNNING.set(tasks + triggers)
    RUNNING.set(tasks)
    TRIGGERS_RUNNING.set(triggers)
