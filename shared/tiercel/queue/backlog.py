"""How far behind consumers are: asked of the queue from time to time, and told as metrics."""

from __future__ import annotations

from typing import Final

from tiercel.queue import metrics
from tiercel.queue.base import Queue, TopicDepth

INTERVAL_S: Final = 10.0
"""Between two questions: counting what waits costs the server, and an alert needs no more."""


async def measure(queue: Queue) -> list[TopicDepth]:
    """Return the depths of all topics, and set the metrics."""
    depths = await queue.depths()
    for depth in depths:
        metrics.MESSAGES.labels(depth.topic).set(depth.messages)
        metrics.OLDEST_SECONDS.labels(depth.topic).set(depth.oldest_s)
    return depths
