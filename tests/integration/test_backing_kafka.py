"""The broker that tests get: it can be struck, keeps address and messages, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from backing.kafka import KafkaBroker
from tests.architecture.tree import ROOT
from tests.patience import PATIENCE_S, look_until
from tests.processes import is_running

quiet = logging.getLogger("tests.kafka")
quiet.setLevel(logging.CRITICAL)


def send(bootstrap: str, topic: str, content: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "logger": quiet})
    producer.produce(topic, content)
    assert 0 == producer.flush(PATIENCE_S)


def read(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "logger": quiet})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(PATIENCE_S)
    consumer.close()
    return message.value() if message is not None else None


def create(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "logger": quiet})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE_S)


def answers(bootstrap: str, timeout_s: float) -> bool:
    try:
        return bool(
            AdminClient({"bootstrap.servers": bootstrap, "logger": quiet}).list_topics(timeout=timeout_s).brokers
        )
    except KafkaException:
        return False


def test_when_asked_for_a_broker_answers(kafka: str) -> None:
    """The address of the session's broker is one that clients can use."""
    assert answers(kafka, PATIENCE_S)


@pytest.mark.parametrize("immediately", [False, True], ids=["cleanly", "by a power cut"])
def test_when_restarted_it_has_its_messages_at_its_address(kafka_broker: KafkaBroker, immediately: bool) -> None:
    """Clients that waited go on where they were."""
    topic = f"restarted-{immediately}"
    create(kafka_broker.bootstrap, topic)
    send(kafka_broker.bootstrap, topic, b"before")

    kafka_broker.restart(immediately=immediately)

    assert b"before" == read(kafka_broker.bootstrap, topic)


def test_when_paused_it_answers_nobody_until_it_goes_on(kafka_broker: KafkaBroker) -> None:
    """A broker that hangs is another failure than one that is gone."""
    kafka_broker.pause()
    hung = not answers(kafka_broker.bootstrap, 1.0)

    kafka_broker.resume()

    assert hung
    assert answers(kafka_broker.bootstrap, PATIENCE_S)


def test_when_the_test_run_is_killed_the_broker_ends(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """However a run ends, nothing of it goes on; the broker was started by a thread that has ended long before."""
    program = (
        "import pathlib, sys, threading, time\n"
        "from backing.kafka import KafkaBroker\n"
        f"broker = KafkaBroker(pathlib.Path({str(tmp_path)!r}))\n"
        "thread = threading.Thread(target=broker.start); thread.start(); thread.join()\n"
        "print(broker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    broker = int(run.stdout.readline())
    assert is_running(broker)

    run.send_signal(signal.SIGKILL)
    run.wait()

    look_until(lambda: not is_running(broker), f"the broker {broker} to end with its test run")


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "by workers"])
def test_when_a_service_cannot_be_had_the_run_says_so_in_one_line(tmp_path: Path, workers: list[str]) -> None:
    """Left out is not passed: one loud line; in continuous integration it is a failure."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for answer, code, words in (("", 0, "1 skipped"), ("true", 1, "kafka cannot be had: There is no")):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", __file__, "-k", "asked_for", *workers],
            cwd=ROOT,
            env={**own, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / answer), "CI": answer},
            capture_output=True,
            text=True,
            check=False,
        )

        assert code == done.returncode, done.stdout
        assert words in done.stdout
        assert 1 == done.stdout.count("TESTS WITH KAFKA WERE LEFT OUT: There is no Apache Kafka in the cache")
