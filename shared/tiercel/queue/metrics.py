"""What every adapter of the queue measures, and the depth of its topics, which only some processes ask for."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Summary

MESSAGES: Final = Gauge(
    "tiercel_queue_messages",
    "Messages that wait; of `dead_letter`, that are kept. Told by webservers and executors.",
    ["topic"],
)
OLDEST_SECONDS: Final = Gauge(
    "tiercel_queue_oldest_seconds",
    "Age of the oldest message that waits: how far behind its consumer is. Told by webservers and executors.",
    ["topic"],
)
PRODUCED: Final = Counter("tiercel_queue_produce_count", "Messages that were sent.", ["topic"])
BIG_MESSAGES: Final = Counter(
    "tiercel_queue_big_message_count", "Messages that were sent and are larger than 1 MiB.", ["topic"]
)
POLL_SIZE: Final = Summary("tiercel_queue_poll_size", "Messages of one read or claim.", ["topic"])
RECEIVE_SECONDS: Final = Summary(
    "tiercel_queue_receive_duration_seconds", "Time of one read or claim, decoding included.", ["topic"]
)
OUTBOX_MESSAGES: Final = Gauge(
    "tiercel_queue_outbox_messages",
    "Messages that are saved in the state store and wait for the relay to Kafka; 0 on PostgreSQL.",
)
BIG_MESSAGE_SIZE: Final = 1 << 20
"""Bytes from which on a message is counted as big: what is larger should have gone to storage."""


def sent(topic: str, sizes: list[int]) -> None:
    """Count messages of a topic by the sizes of their bodies."""
    PRODUCED.labels(topic).inc(len(sizes))
    if max(sizes, default=0) > BIG_MESSAGE_SIZE:
        BIG_MESSAGES.labels(topic).inc(sum(size > BIG_MESSAGE_SIZE for size in sizes))


def received(topic: str, count: int, seconds: float) -> None:
    """Note one read or claim."""
    POLL_SIZE.labels(topic).observe(count)
    RECEIVE_SECONDS.labels(topic).observe(seconds)
