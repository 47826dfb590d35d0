"""
The metrics of Kestra (0.21 to 1.x) by their names in Prometheus, without prefix and without what the type appends.

A dot of Kestra's is an underscore here, and a timer ends in `_seconds`. `docs/metrics.md` lists which are exported; a
test holds that every name in `EXPORTED` is, and that what is missing has its reason in `ABSENT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXPORTED: Final = frozenset(
    {
        "executor_execution_delay_created_count",
        "executor_execution_delay_ended_count",
        "executor_execution_duration_seconds",
        "executor_execution_end_count",
        "executor_execution_message_process_seconds",
        "executor_execution_popped_count",
        "executor_execution_queued_count",
        "executor_execution_started_count",
        "executor_flowable_execution_count",
        "executor_killed_count",
        "executor_sla_expired_count",
        "executor_sla_violation_count",
        "executor_taskrun_created_count",
        "executor_taskrun_ended_count",
        "executor_taskrun_ended_duration_seconds",
        "executor_thread_count",
        "executor_worker_job_resubmit_count",
        "indexer_message_failed_count",
        "indexer_message_in_count",
        "indexer_message_out_count",
        "indexer_request_count",
        "indexer_request_duration_seconds",
        "indexer_request_retry_count",
        "indexer_server_duration_seconds",
        "jdbc_query_duration_seconds",
        "queue_big_message_count",
        "queue_poll_size",
        "queue_produce_count",
        "queue_receive_duration_seconds",
        "scheduler_evaluate_count",
        "scheduler_evaluation_loop_duration_seconds",
        "scheduler_execution_lock_duration_seconds",
        "scheduler_loop_count",
        "scheduler_trigger_count",
        "scheduler_trigger_delay_duration_seconds",
        "worker_ended_count",
        "worker_ended_duration_seconds",
        "worker_job_pending",
        "worker_job_running",
        "worker_job_thread",
        "worker_killed_count",
        "worker_queued_duration_seconds",
        "worker_running_count",
        "worker_started_count",
        "worker_timeout_count",
        "worker_trigger_duration_seconds",
        "worker_trigger_ended_count",
        "worker_trigger_error_count",
        "worker_trigger_execution_count",
        "worker_trigger_running_count",
        "worker_trigger_started_count",
    }
)
ABSENT: Final[Mapping[str, str]] = {
    "executor_taskrun_next_count": "0.21's name of `executor_taskrun_created_count`",
    "executor_workertaskresult_count": "0.21 only; see `worker_ended_count`",
    "scheduler_execution_missing_duration_seconds": "an execution is created by the message that fires its trigger:"
    " none is ever missing; see `queue_oldest_seconds` of `execution_event`",
    "scheduler_execution_running_duration_seconds": "0.21's name of `scheduler_execution_lock_duration_seconds`",
    "scheduler_trigger_evaluation_duration_seconds": "schedules are not evaluated but known ahead; polling triggers are"
    " evaluated by workers, see `worker_trigger_duration_seconds`",
    "stream_state_count": "there is no Kafka Streams application",
}
