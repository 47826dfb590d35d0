"""
Clients of librdkafka: their properties, and the border at which its errors become ours.

Brokers that are away are waited for by the library itself; what it says about it goes to our log. A wrong password or a
missing right does not heal by waiting, and is told as such.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from tiercel.errors import InternalError, InvalidSettings, OperatorError, TiercelError, Unavailable
from tiercel.queue.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)
librdkafka = logging.getLogger("librdkafka")

REPEATED_S: Final = 30.0
"""The same trouble is told again after this time."""


class _Calm(logging.Filter):
    """Lets the library say each kind of thing only now and then: during an outage it says one every 100 ms."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        sort = said.split(" ", 1)[0]
        if sort == "CONFWARN":  # our properties are meant as they are
            return False
        now = time.monotonic()
        if now - self._told.get(sort, -REPEATED_S) < REPEATED_S:
            return False
        self._told[sort] = now
        return True


librdkafka.addFilter(_Calm())

_REFUSED: Final = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError._SSL,
}
_FORBIDDEN: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
_PASSING: Final = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._RESOLVE,
    KafkaError._QUEUE_FULL,
    KafkaError._DESTROY,
    KafkaError._NOENT,  # no leader is known
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_CONTROLLER,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # a broker that has just started; missing topics are told by the check
}


def translated(error: KafkaError, servers: str) -> TiercelError:
    """Return what callers see instead of the library's error."""
    code, said = error.code(), error.str()
    if code in _REFUSED:
        return OperatorError(
            f"Kafka at '{servers}' refuses the credentials or the encryption ({said}); "
            "check 'kafka.properties': security.protocol, sasl.* and ssl.*."
        )
    if code in _FORBIDDEN:
        return OperatorError(
            f"Kafka at '{servers}' forbids this ({said}); give the user of 'kafka.properties' the rights to describe, "
            "read, write and create topics with the prefix 'kafka.topic-prefix'."
        )
    if code in _PASSING or error.retriable():
        return Unavailable(
            f"Kafka at '{servers}' cannot do this now ({said}); is 'kafka.bootstrap-servers' right, and are they up?"
        )
    return InternalError(f"Kafka refused a request: {said} ({error.name()}).")


def raised(error: KafkaException, servers: str) -> TiercelError:
    """Return what callers see instead of the library's exception."""
    return translated(error.args[0], servers)


def servers_of(settings: KafkaSettings) -> str:
    """Return the brokers' addresses."""
    found = settings.bootstrap_servers or settings.properties.get("bootstrap.servers")
    if not found:
        raise InvalidSettings("'kafka.bootstrap-servers' is not set: this process does not know where Kafka is.")
    return str(found)


class Troubles:
    """Hears what a client has to complain about; remembers a refusal that waiting does not heal."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._told: dict[int, float] = {}
        self.refusal: OperatorError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take note; called by the library, on a thread that polls."""
        found = translated(error, self._servers)
        if isinstance(found, OperatorError) and not isinstance(found, Unavailable):
            self.refusal = found
        now = time.monotonic()
        if now - self._told.get(error.code(), -REPEATED_S) >= REPEATED_S:
            self._told[error.code()] = now
            log.warning("Kafka: %s", found, extra={"action": "kafka_troubled", "code": error.name()})


def common_properties(settings: KafkaSettings, name: str, troubles: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return the properties of every client."""
    return {
        "client.id": f"tiercel-{name}",
        "reconnect.backoff.max.ms": 1000,
        "socket.keepalive.enable": True,
        "socket.nagle.disable": True,  # a small request must not wait for the answer to the one before
        # How long a client hangs on a connection that nobody answers any more; time for a large message.
        "socket.timeout.ms": 30_000,
        # How long a client goes without a leader that it has missed, after a restart of a broker.
        "topic.metadata.refresh.interval.ms": 10_000,
        "allow.auto.create.topics": False,
        **settings.properties,
        "bootstrap.servers": servers_of(settings),
        "logger": librdkafka,
        "error_cb": troubles,
    }


def producer_properties(settings: KafkaSettings, name: str, troubles: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return the properties of a producer: nothing is given up, doubled or reordered."""
    return {
        "compression.type": "lz4",
        "linger.ms": settings.linger_ms,
        "retry.backoff.ms": 20,
        "queue.buffering.max.messages": 0,  # bounded by ourselves, in messages that are not confirmed
        "queue.buffering.max.kbytes": 1 << 20,
        **common_properties(settings, name, troubles),
        **settings.producer_properties,
        "message.max.bytes": settings.message_size_max,
        "acks": "all",
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "message.timeout.ms": 0,
    }


def consumer_properties(settings: KafkaSettings, name: str, troubles: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return the properties of a consumer that is told where to read, and keeps nothing at the broker."""
    return {
        "fetch.wait.max.ms": 500,
        "fetch.error.backoff.ms": 100,
        "queued.min.messages": 10_000,
        "queued.max.messages.kbytes": 65_536,
        **common_properties(settings, name, troubles),
        **settings.consumer_properties,
        "fetch.message.max.bytes": settings.message_size_max,
        "group.id": f"{settings.topic_prefix}unused",  # the library wants a name; no group is ever joined
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
    }
