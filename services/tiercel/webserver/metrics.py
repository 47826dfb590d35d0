"""What a webserver measures."""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge

QUEUE_MESSAGES: Final = Gauge(
    "tiercel_queue_messages", "Messages that wait; of `dead_letter`, that are kept.", ["topic"]
)
QUEUE_OLDEST_SECONDS: Final = Gauge("tiercel_queue_oldest_seconds", "Age of the oldest message that waits.", ["topic"])
