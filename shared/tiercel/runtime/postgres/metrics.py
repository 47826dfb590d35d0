"""What a process measures of its connections to PostgreSQL, and of what holds back the server's cleaning."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Summary

POOL_SIZE: Final = Gauge("tiercel_postgres_pool_size", "Connections that a pool may open.", ["pool"])
POOL_LENT: Final = Gauge("tiercel_postgres_pool_lent", "Connections that are in use now.", ["pool"])
POOL_WAITING: Final = Gauge("tiercel_postgres_pool_waiting", "Callers that wait for a free connection.", ["pool"])
FAILURES: Final = Counter(
    "tiercel_postgres_failures", "Calls that failed because the server was away or refused them.", ["pool"]
)
QUERY_SECONDS: Final = Summary(
    "tiercel_jdbc_query_duration_seconds",
    "Time that a connection was lent: one statement or one transaction.",
    ["pool"],
)
OLDEST_SNAPSHOT_SECONDS: Final = Gauge(
    "tiercel_postgres_oldest_snapshot_seconds",
    "Age of the oldest transaction in the queue's database that keeps dead rows from being removed. Told by executors.",
)
