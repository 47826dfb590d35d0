"""
Grafana's dashboard: the path of the data, from requests and schedules to history, one row a station.

The panels are a table here; `make docs` draws the file that Grafana reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

WIDTH: Final = 24
"""Columns of Grafana's grid."""
HEIGHT: Final = 7
"""Rows of one panel."""
PER_ROW: Final = 4
"""Panels side by side: more cannot be read on a laptop."""


class Panel(msgspec.Struct, frozen=True):
    """One picture: its title, its unit, and what it draws, each with a legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def rate(metric: str, by: str = "") -> str:
    """Return the query of a rate."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}[$__rate_interval]))"


def quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    """Return the queries of the middle and of the slowest of a hundred."""
    return tuple(
        (f"histogram_quantile({quantile}, sum by (le) (rate({metric}_bucket[$__rate_interval])))", legend)
        for quantile, legend in ((0.5, "p50"), (0.99, "p99"))
    )


def depth(topic: str) -> Panel:
    """Return the picture of what waits in a topic."""
    return Panel(f"waits in {topic}", "short", ((f'max(tiercel_queue_messages{{topic="{topic}"}})', "messages"),))


def age(topic: str) -> Panel:
    """Return the picture of how old the oldest message of a topic is."""
    return Panel(f"oldest in {topic}", "s", ((f'max(tiercel_queue_oldest_seconds{{topic="{topic}"}})', "age"),))


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "At a glance",
        (
            Panel(
                "executions ended", "ops", ((rate("tiercel_executor_execution_end_count_total", "state"), "{{state}}"),)
            ),
            Panel("tasks ended", "ops", ((rate("tiercel_worker_ended_count_total", "state"), "{{state}}"),)),
            Panel("processes", "short", (("count by (service) (tiercel_build_info)", "{{service}}"),), "stat"),
            Panel("dead letters", "short", (('max(tiercel_queue_messages{topic="dead_letter"})', "kept"),), "stat"),
        ),
    ),
    (
        "1 · Requests and triggers → commands",
        (
            Panel("requests", "reqps", ((rate("tiercel_webserver_requests_total", "status"), "{{status}}"),)),
            Panel("time of answers", "s", quantiles("tiercel_webserver_request_seconds")),
            Panel("executions by triggers", "ops", ((rate("tiercel_scheduler_trigger_count_total"), "executions"),)),
            Panel("lateness of schedules", "s", quantiles("tiercel_scheduler_trigger_delay_duration_seconds")),
        ),
    ),
    (
        "2 · Commands and reports → executor",
        (
            depth("execution_event"),
            age("execution_event"),
            Panel("from event to decision", "s", quantiles("tiercel_executor_event_lag_seconds")),
            Panel("events of one batch", "short", quantiles("tiercel_executor_batch_events")),
        ),
    ),
    (
        "3 · Jobs → workers",
        (
            depth("worker_job"),
            age("worker_job"),
            Panel("from job to start", "s", quantiles("tiercel_worker_wait_seconds")),
            Panel(
                "slots",
                "short",
                (
                    ("sum(tiercel_worker_job_thread)", "all"),
                    ("sum(tiercel_worker_running_count)", "tasks"),
                    ("sum(tiercel_worker_trigger_running_count)", "triggers"),
                ),
            ),
        ),
    ),
    (
        "4 · Workers → reports",
        (
            Panel("time of tasks", "s", quantiles("tiercel_worker_task_seconds")),
            Panel("reports and lines that wait", "short", (("sum(tiercel_worker_waiting_reports)", "waiting"),)),
            Panel(
                "time-outs, kills, lost",
                "ops",
                (
                    (rate("tiercel_worker_timeout_count_total"), "time-outs"),
                    (rate("tiercel_worker_killed_count_total"), "kills"),
                    (rate("tiercel_worker_lost_tasks_total"), "lost"),
                ),
            ),
            Panel("silence of workers", "s", (("max by (instance) (tiercel_worker_silent_seconds)", "{{instance}}"),)),
        ),
    ),
    (
        "5 · History → lists and logs",
        (
            depth("history"),
            age("history"),
            Panel("written", "ops", ((rate("tiercel_indexer_message_out_count_total"), "messages"),)),
            Panel("time of one transaction", "s", quantiles("tiercel_indexer_batch_seconds")),
        ),
    ),
    (
        "Below · queue, databases, processes",
        (
            Panel("messages sent", "ops", ((rate("tiercel_queue_produce_count_total", "topic"), "{{topic}}"),)),
            Panel(
                "connections in use",
                "short",
                (("sum by (job, pool) (tiercel_postgres_pool_lent)", "{{job}} {{pool}}"),),
            ),
            Panel("oldest snapshot", "s", (("max(tiercel_postgres_oldest_snapshot_seconds)", "age"),)),
            Panel("outbox", "short", (("sum by (job) (tiercel_queue_outbox_messages)", "{{job}}"),)),
            Panel(
                "partitions that moved",
                "short",
                (
                    ("sum(increase(tiercel_executor_lease_changes_total[$__rate_interval]))", "executor"),
                    ("sum(increase(tiercel_scheduler_lease_changes_total[$__rate_interval]))", "scheduler"),
                    ("sum(increase(tiercel_indexer_lease_changes_total[$__rate_interval]))", "indexer"),
                ),
            ),
            Panel("failures of PostgreSQL", "ops", ((rate("tiercel_postgres_failures_total", "job"), "{{job}}"),)),
            Panel("processor", "percentunit", ((rate("process_cpu_seconds_total", "job"), "{{job}}"),)),
            Panel("memory", "bytes", (("sum by (job) (process_resident_memory_bytes)", "{{job}}"),)),
        ),
    ),
)


def dashboard() -> str:
    """Draw the dashboard as JSON."""
    content = {
        "uid": "tiercel",
        "title": "Tiercel: the path of the data",
        "tags": ["tiercel"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [{"id": number, **panel} for number, panel in enumerate(_panels(), 1)],
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _panels() -> Iterator[dict[str, Any]]:
    top = 0
    for title, panels in ROWS:
        yield {
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            "panels": [],
        }
        width = WIDTH // PER_ROW
        for place, panel in enumerate(panels):
            line, column = divmod(place, PER_ROW)
            yield _drawn(panel, {"x": column * width, "y": top + 1 + line * HEIGHT, "w": width, "h": HEIGHT})
        top += 1 + HEIGHT * -(-len(panels) // PER_ROW)


def _drawn(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": source, "expr": query, "legendFormat": legend}
            for number, (query, legend) in enumerate(panel.queries)
        ],
    }
