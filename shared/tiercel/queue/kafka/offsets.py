"""
Where partitions begin and end, asked of the brokers.

It is a client of its own: the consumer's thread polls without a pause, and a question through the consumer would wait
behind its polls.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not in its stubs

from tiercel.errors import InternalError, Unavailable
from tiercel.queue.kafka.client import Troubles, common_properties, raised, servers_of
from tiercel.queue.kafka.consumer import Place
from tiercel.queue.kafka.settings import KafkaSettings

ANSWER_S: Final = 4.0
"""How long the brokers may take to answer."""
GIVEN_UP_S: Final = 2 * ANSWER_S
"""And after so long the client that asks is given up."""


class Offsets:
    """Asks; every call blocks for a moment and raises Unavailable when the brokers do not answer."""

    def __init__(self, settings: KafkaSettings, name: str, troubles: Troubles) -> None:
        self._servers = servers_of(settings)
        self._properties = common_properties(settings, name, troubles)
        self._admin: AdminClient | None = AdminClient(self._properties)

    def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        """Return the next offset of each partition."""
        return self._ask({place: OffsetSpec.latest() for place in places})  # type: ignore[no-untyped-call]  # without types

    def begins(self, places: Sequence[Place]) -> dict[Place, int]:
        """Return the first offset that each partition still has."""
        return self._ask({place: OffsetSpec.earliest() for place in places})  # type: ignore[no-untyped-call]  # without types

    def since(self, place: Place, seconds: float) -> int:
        """Return the offset of the first message that is not older than so many seconds."""
        instant = int((time.time() - seconds) * 1000)
        found = self._ask({place: OffsetSpec.for_timestamp(instant)})[place]
        return found if found >= 0 else self.ends([place])[place]

    def _ask(self, wanted: Mapping[Place, Any]) -> dict[Place, int]:
        if not wanted:
            return {}
        # Compared with None: a client counts what waits in it, so one at rest is as false as none.
        admin = self._admin = AdminClient(self._properties) if self._admin is None else self._admin
        try:
            answers = admin.list_offsets(
                {TopicPartition(*place): spec for place, spec in wanted.items()}, request_timeout=ANSWER_S
            )
            # The library bounds its requests, but not how long it looks for a leader to ask.
            return {(at.topic, at.partition): int(answer.result(GIVEN_UP_S).offset) for at, answer in answers.items()}
        except TimeoutError as error:
            self._admin = None
            raise Unavailable(f"Kafka at '{self._servers}' has not answered within {GIVEN_UP_S:g} s.") from error
        except KafkaException as error:
            # After a failover the library asks for ever with the leader's former epoch: another client knows the new.
            self._admin = None
            found = raised(error, self._servers)
            raise (Unavailable(str(found)) if isinstance(found, InternalError) else found) from error
