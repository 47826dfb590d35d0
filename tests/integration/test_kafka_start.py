"""Each wrong setting of Kafka ends the start with one sentence that names the setting and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from backing.kafka import KafkaBroker
from tiercel.errors import InvalidSettings, OperatorError, Unavailable
from tiercel.queue.kafka import layout
from tiercel.queue.kafka.layout import Layout, TopicKeeper
from tiercel.queue.kafka.settings import KafkaSettings
from tiercel.runtime import process

PARTITIONS = 2


@pytest.fixture
def settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"start_{uuid.uuid4().hex[:8]}_", inbox_partitions=2)


def keeper(settings: KafkaSettings, partitions: int = PARTITIONS, **changes: object) -> TopicKeeper:
    changed = msgspec.structs.replace(settings, **changes)
    return TopicKeeper(changed, Layout(changed, partitions))


def test_topics_are_made_once_and_checked(settings: KafkaSettings) -> None:
    """Whoever comes second finds them made."""
    made = keeper(settings).make()

    assert {plan.name for plan in Layout(settings, PARTITIONS).plans} == set(made)
    assert [] == keeper(settings).make()
    keeper(settings).check()


def test_missing_topics_are_named(settings: KafkaSettings) -> None:
    """A process does not make them: it says who does."""
    with pytest.raises(OperatorError, match=r"has no topics .*execution_event.*tiercel migrate.*kafka\.topic-prefix"):
        keeper(settings).check()


@pytest.mark.parametrize(
    ("setting", "partitions", "inboxes"), [("queue.partitions", 3, 2), ("kafka.inbox-partitions", 2, 3)]
)
def test_another_number_of_partitions_is_refused(
    settings: KafkaSettings, setting: str, partitions: int, inboxes: int
) -> None:
    """A key's messages would go to another owner."""
    keeper(settings).make()

    with pytest.raises(InvalidSettings, match=rf"has 2 partitions, and '{setting}' wants 3"):
        keeper(settings, partitions, inbox_partitions=inboxes).check()


def test_more_copies_than_brokers_are_refused(settings: KafkaSettings) -> None:
    """One broker cannot keep three copies."""
    with pytest.raises(InvalidSettings, match=r"cannot keep 3 copies.*kafka\.replication-factor"):
        keeper(settings, replication_factor=3).make()


def test_too_few_copies_are_told(settings: KafkaSettings) -> None:
    """Of topics that somebody else has made."""
    keeper(settings).make()

    with pytest.raises(InvalidSettings, match=r"has 1 copies.*'kafka\.replication-factor' wants 3"):
        keeper(settings, replication_factor=3).check()


def test_a_configuration_that_brokers_refuse_is_told(settings: KafkaSettings) -> None:
    """With what they say."""
    with pytest.raises(InvalidSettings, match=r"refuses the configuration.*kafka\.topic-properties"):
        keeper(settings, topic_properties={"cleanup.policy": "sometimes"}).make()


def test_topics_for_smaller_messages_are_told(settings: KafkaSettings) -> None:
    """Otherwise the first large message would stop a process."""
    keeper(settings, message_size_max=1 << 20).make()

    with pytest.raises(InvalidSettings, match=r"takes messages of 1048576 bytes.*kafka\.message-size-max"):
        keeper(settings).check()


def test_a_property_that_does_not_exist_is_told(settings: KafkaSettings) -> None:
    """Any property passes through, but only one that there is."""
    with pytest.raises(InvalidSettings, match=r"does not accept its properties.*kafka\.properties"):
        keeper(settings, properties={"sasl.mechanisms.of.my.own": "x"})


def test_a_wrong_address_is_told(settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting may help, so it is waited for a while; then this is what is said."""
    monkeypatch.setattr(layout, "ANSWER_S", 2.0)

    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1'.*is 'kafka\.bootstrap-servers' right"):
        keeper(settings, bootstrap_servers="127.0.0.1:1").check()


JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required username=admin password=right "
    'user_admin="right" user_guest="guest";'
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator[KafkaBroker]:
    """Yield a broker that asks for a password, and lets guests do nothing."""
    broker = _Guarded(tmp_path_factory.mktemp("guarded"))
    with broker:
        yield broker


class _Guarded(KafkaBroker):
    def _own_settings(self) -> dict[str, str]:
        own = super()._own_settings()
        return {
            **own,
            "listeners": own["listeners"].replace("PLAINTEXT://", "SASL_PLAINTEXT://", 1),
            "security.inter.broker.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": JAAS,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS",
        }


def with_password(settings: KafkaSettings, broker: KafkaBroker, user: str, password: str) -> KafkaSettings:
    sasl = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    own = {"sasl.username": user, "sasl.password": password}
    return msgspec.structs.replace(settings, bootstrap_servers=broker.bootstrap, properties={**sasl, **own})


def test_credentials_pass_through(settings: KafkaSettings, guarded: KafkaBroker) -> None:
    """They are properties of librdkafka."""
    allowed = keeper(with_password(settings, guarded, "admin", "right"))

    assert 6 == len(allowed.make())
    allowed.check()


def test_wrong_credentials_are_told(
    settings: KafkaSettings, guarded: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting does not help."""
    monkeypatch.setattr(layout, "ANSWER_S", 10.0)

    with pytest.raises(OperatorError, match=r"refuses the credentials.*kafka\.properties") as raised:
        keeper(with_password(settings, guarded, "admin", "wrong")).check()

    assert not isinstance(raised.value, Unavailable)


def test_missing_rights_are_told(settings: KafkaSettings, guarded: KafkaBroker) -> None:
    """Who may not describe topics sees none; who may not make them is told so."""
    guest = keeper(with_password(settings, guarded, "guest", "guest"))

    with pytest.raises(OperatorError, match="right to describe"):
        guest.check()
    with pytest.raises(OperatorError, match=r"forbids this.*rights to describe, read, write and create"):
        guest.make()


def test_topics_of_another_make_are_checked_too(settings: KafkaSettings) -> None:
    """What counts is what is there, whoever made it."""
    name = Layout(settings, PARTITIONS).plans[0].name
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    admin.create_topics([NewTopic(name, num_partitions=5, replication_factor=1)])[name].result()
    keeper(settings).make()

    with pytest.raises(InvalidSettings, match=f"'{name}' has 5 partitions"):
        keeper(settings).check()


def test_a_process_that_cannot_start_says_so_and_ends(settings: KafkaSettings, tmp_path: Path) -> None:
    """One sentence, and an exit code that tells a supervisor that starting again does not help."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERCEL_")}
    environment |= {"TIERCEL_QUEUE_TYPE": "kafka", "TIERCEL_KAFKA_BOOTSTRAP_SERVERS": str(settings.bootstrap_servers)}
    environment |= {"TIERCEL_KAFKA_TOPIC_PREFIX": settings.topic_prefix, "TIERCEL_DATA": str(tmp_path)}

    ended = subprocess.run(
        [sys.executable, "-m", "tiercel.cli.main", "server", "worker", "--management-port", "0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert process.EXIT_SETTINGS == ended.returncode, ended.stderr
    assert "run `tiercel migrate`" in ended.stdout + ended.stderr
