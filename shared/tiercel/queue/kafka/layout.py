"""
Topics as Kafka has them: their names, how they are made, and whether they are as the settings say.

They come from the table of topics. `tiercel migrate` makes what is missing; every process checks at its start, because
a topic with another number of partitions would send a key's messages to another owner.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]  # not in its stubs

from tiercel.errors import InvalidSettings, OperatorError, Unavailable
from tiercel.messages.topics import TOPICS, Route, Topic
from tiercel.queue.kafka.client import Troubles, common_properties, raised, servers_of, translated
from tiercel.queue.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

ANSWER_S: Final = 10.0
"""How long the brokers may take to answer a question about topics."""
MADE_S: Final = 30.0
"""How long brokers may take to make topics, and all of them to hear of it."""
VISIBLE_PAUSE_S: Final = 0.05
"""Between two looks whether they have heard of it."""


class TopicPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it should be."""

    topic: Topic[Any]
    name: str
    partitions: int


class Layout:
    """The topics of one installation."""

    def __init__(self, settings: KafkaSettings, partitions: int) -> None:
        self._settings = settings
        self.partitions = partitions
        self.plans = tuple(
            TopicPlan(topic=topic, name=self.name(topic), partitions=self._count(topic)) for topic in TOPICS
        )

    def name(self, topic: Topic[Any]) -> str:
        """Return the name that a topic has at the brokers."""
        return f"{self._settings.topic_prefix}{topic.name}"

    def inbox(self, worker: str) -> int:
        """Return the partition by which a worker gets its jobs."""
        return zlib.crc32(worker.encode()) % self._settings.inbox_partitions

    def _count(self, topic: Topic[Any]) -> int:
        match topic.route:
            case Route.KEYED:
                return self.partitions
            case Route.DISPATCH:
                return self._settings.inbox_partitions
            case Route.BROADCAST:
                return 1  # everybody reads all of it, in one order


class TopicKeeper:
    """Makes and checks the topics; blocks while it asks the brokers."""

    def __init__(self, settings: KafkaSettings, layout: Layout) -> None:
        self._settings = settings
        self._layout = layout
        self._servers = servers_of(settings)
        self._troubles = Troubles(self._servers)
        try:
            self._admin = AdminClient(common_properties(settings, "admin", self._troubles))
        except KafkaException as error:
            raise InvalidSettings(
                f"Kafka's client does not accept its properties ({error.args[0].str()}); check 'kafka.properties'."
            ) from error

    def make(self) -> list[str]:
        """Make the topics that are missing; return their names."""
        known = self._metadata().topics
        missing = [plan for plan in self._layout.plans if plan.name not in known]
        if not missing:
            return []
        wanted = [
            NewTopic(
                plan.name,
                num_partitions=plan.partitions,
                replication_factor=self._settings.replication_factor or -1,
                config=self._configuration(),
            )
            for plan in missing
        ]
        made = self._admin.create_topics(wanted, operation_timeout=MADE_S, request_timeout=MADE_S)
        for name, answer in made.items():
            try:
                answer.result()
            except KafkaException as error:
                self._not_made(name, error)
        self._await_visible([plan.name for plan in missing])
        return [plan.name for plan in missing]

    def _await_visible(self, names: Sequence[str]) -> None:
        """Wait until a broker knows of topics that the controller has made; what is missing then, `check` tells."""
        deadline = time.monotonic() + MADE_S
        while time.monotonic() < deadline:
            known = self._metadata().topics
            if all(name in known and known[name].error is None for name in names):
                return
            time.sleep(VISIBLE_PAUSE_S)  # brokers hear of it one by one, and tell nobody

    def _configuration(self) -> dict[str, str]:
        given = {name: str(value) for name, value in self._settings.topic_properties.items()}
        return {
            "retention.ms": str(int(self._settings.retention.total_seconds() * 1000)),
            "max.message.bytes": str(self._settings.message_size_max),
            **given,
        }

    def _not_made(self, name: str, error: KafkaException) -> None:
        said = error.args[0]
        match said.code():
            case KafkaError.TOPIC_ALREADY_EXISTS:
                return  # another process was faster
            case KafkaError.INVALID_REPLICATION_FACTOR if self._settings.replication_factor is None:
                raise Unavailable(
                    f"Kafka cannot make topic '{name}' now ({said.str()}); are enough brokers up?"
                ) from error
            case KafkaError.INVALID_REPLICATION_FACTOR:
                raise InvalidSettings(
                    f"Kafka cannot keep {self._settings.replication_factor} copies of topic '{name}' ({said.str()}); "
                    "set 'kafka.replication-factor' to at most the number of brokers."
                ) from error
            case KafkaError.INVALID_CONFIG | KafkaError.POLICY_VIOLATION:
                raise InvalidSettings(
                    f"Kafka refuses the configuration of topic '{name}' ({said.str()}); check "
                    "'kafka.topic-properties', 'kafka.retention' and 'kafka.message-size-max'."
                ) from error
            case _:
                raise translated(said, self._servers) from error

    def check(self) -> None:
        """Raise what is wrong with the topics, in one sentence."""
        known = self._metadata().topics
        missing = [plan.name for plan in self._layout.plans if plan.name not in known]
        if missing:
            raise OperatorError(
                f"Kafka at '{self._servers}' has no topics {', '.join(missing)}; run `tiercel migrate` with the same "
                "'kafka.topic-prefix', or give the user of 'kafka.properties' the right to describe them."
            )
        for plan in self._layout.plans:
            self._check_one(plan, known[plan.name])
        self._check_sizes(plan.name for plan in self._layout.plans)

    def _check_one(self, plan: TopicPlan, found: Any) -> None:
        if found.error is not None:
            raise translated(found.error, self._servers)
        if len(found.partitions) != plan.partitions:
            setting = "kafka.inbox-partitions" if plan.topic.route is Route.DISPATCH else "queue.partitions"
            raise InvalidSettings(
                f"Topic '{plan.name}' has {len(found.partitions)} partitions, and '{setting}' wants {plan.partitions}; "
                f"set it to what the installation was made with, or use another 'kafka.topic-prefix'."
            )
        wanted = self._settings.replication_factor
        copies = min((len(part.replicas) for part in found.partitions.values()), default=0)
        if wanted is not None and copies < wanted:
            raise InvalidSettings(
                f"Topic '{plan.name}' has {copies} copies of a partition, and 'kafka.replication-factor' wants "
                f"{wanted}; add replicas with kafka-reassign-partitions, or lower the setting."
            )

    def _check_sizes(self, names: Iterable[str]) -> None:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        for resource, answer in self._admin.describe_configs(resources, request_timeout=ANSWER_S).items():
            try:
                size = int(answer.result()["max.message.bytes"].value)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    return  # a user that may not read the configuration has to trust it
                raise raised(error, self._servers) from error
            if size < self._settings.message_size_max:
                raise InvalidSettings(
                    f"Topic '{resource.name}' takes messages of {size} bytes at most, and 'kafka.message-size-max' is "
                    f"{self._settings.message_size_max}; raise max.message.bytes of the topic, or lower the setting."
                )

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=ANSWER_S)
        except KafkaException as error:
            self._admin.poll(0)  # hears what the client had to complain about
            if self._troubles.refusal is not None:
                raise self._troubles.refusal from error
            found = raised(error, self._servers)
            if isinstance(found, OperatorError):
                raise found from error
            raise Unavailable(str(found)) from error
