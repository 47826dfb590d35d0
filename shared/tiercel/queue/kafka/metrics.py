"""What a process measures of its part in Kafka."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

UNCONFIRMED: Final = Gauge("tiercel_kafka_unconfirmed_messages", "Messages that wait for the brokers' confirmation.")
RENEWALS: Final = Counter("tiercel_kafka_producer_renewals", "Producers that failed for good and were replaced.")
RELAYED: Final = Counter("tiercel_kafka_relayed_messages", "Messages of the outbox that were sent after their commit.")
INHERITED: Final = Counter("tiercel_kafka_inherited_messages", "Messages that were sent in the place of others.")
REPEATED: Final = Counter("tiercel_kafka_repeated_messages", "Messages that came again and were dropped.", ["topic"])
RECEIVED: Final = Counter("tiercel_kafka_received_messages", "Messages that were read.", ["topic"])
BACKLOG: Final = Gauge("tiercel_kafka_backlog_messages", "Messages that are read and not acknowledged.", ["topic"])
SILENT_SECONDS: Final = Gauge("tiercel_kafka_silent_seconds", "Time since the brokers were last heard.")
DISPATCHED: Final = Counter("tiercel_dispatcher_jobs", "Jobs that were sent to workers.")
DISPATCH_SIZE: Final = Histogram(
    "tiercel_dispatcher_batch_jobs", "Jobs of one transaction of the dispatcher.", buckets=(0, 1, 3, 10, 30, 100, 300)
)
FREE_SLOTS: Final = Gauge("tiercel_dispatcher_free_slots", "Free slots of all workers, as the dispatcher knows.")
WORKERS: Final = Gauge("tiercel_dispatcher_workers", "Workers that are heard.")
LEADING: Final = Gauge("tiercel_dispatcher_leading", "1 in the process that dispatches.")
HANDED_BACK: Final = Counter(
    "tiercel_kafka_handed_back_jobs", "Jobs that waited in a busy worker's inbox for too long."
)
