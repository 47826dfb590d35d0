"""What a webserver measures."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter("tiercel_webserver_requests", "Requests that were answered.", ["method", "status"])
REQUEST_SECONDS: Final = Histogram(
    "tiercel_webserver_request_seconds",
    "Time until an answer began.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
OPEN_REQUESTS: Final = Gauge("tiercel_webserver_open_requests", "Requests that are being answered, streams included.")
AUDIT_LOST: Final = Counter(
    "tiercel_webserver_audit_lost",
    "Changes that are in the log and not on record: the queue was away.",
)
METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""Anybody can send any word as a method: others are counted as one."""

Send = Callable[[Any], Awaitable[None]]


def counted(method: str, send: Send) -> Send:
    """Return the `send` of a request that counts the request when its answer begins."""
    began = time.perf_counter()

    async def counting(message: Any) -> None:
        if message["type"] == "http.response.start":
            REQUESTS.labels(method if method in METHODS else "other", str(message["status"])).inc()
            REQUEST_SECONDS.observe(time.perf_counter() - began)
        await send(message)

    return counting
