"""What the operator decides about Kafka."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the brokers are, and how topics are made."""

    bootstrap_servers: str | None = None
    """Addresses to begin with: `host:port,host:port`."""
    properties: dict[str, Any] = {}
    """Any property of librdkafka, for all clients: `security.protocol`, `sasl.mechanism`, `ssl.ca.location` …"""
    producer_properties: dict[str, Any] = {}
    consumer_properties: dict[str, Any] = {}
    topic_prefix: str = "tiercel_"
    topic_properties: dict[str, Any] = {}
    """Any configuration of topics, when they are made: `min.insync.replicas` …"""
    replication_factor: int | None = None
    """Copies of each partition; without it the broker's default."""
    retention: timedelta = timedelta(days=14)
    """How long topics keep messages, read or not."""
    inbox_partitions: int = 32
    """Partitions of the topic by which workers get their jobs; fixed when an installation is made."""
    message_size_max: int = 32 << 20
    """Bytes of one message, above all a task run's outputs (`worker.output-size-max`)."""
    linger_ms: float = 0
    """How long a message waits for others; those that are sent together, or while others are under way, do anyway."""
    pending_max: int = 50_000
    """Messages of a process that wait for the brokers' confirmation; beyond this nothing more is taken."""
