"""
Which Kafka and which object store a test gets: the one whose address the environment names, else one in a container,
where an engine answers, else one from the package registries.

    TIERCEL_TEST_KAFKA    host:port of a broker
    TIERCEL_TEST_S3       http://key:secret@host:port of a MinIO or another S3
    TIERCEL_TEST_ENGINE   unix:///path or tcp://host:port of a container engine; none: no container
                          (default: DOCKER_HOST, CONTAINER_HOST, or where Docker and Podman listen)

A test that strikes a service gets one from the registries in any case: it kills, pauses and looks at its disk.
TIERCEL_TEST_QUEUE=kafka has the tests that start whole servers start them on Kafka.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from backing import containers, kafka, minio, minio_files, tools
from backing.kafka import KafkaBroker
from backing.minio import MinioServer, S3Address

KAFKA_VARIABLE: Final = "TIERCEL_TEST_KAFKA"
QUEUE_VARIABLE: Final = "TIERCEL_TEST_QUEUE"
S3_VARIABLE: Final = "TIERCEL_TEST_S3"
VARIABLES: Final[Mapping[str, str]] = {"kafka": KAFKA_VARIABLE, "minio": S3_VARIABLE}
PREPARATIONS: Final[Mapping[str, Callable[[], None]]] = {"kafka": kafka.prepare, "minio": minio.prepare}
OWN: Final = "own-"
"""Before the name of a service: one of our own processes, whatever the environment names."""


@contextlib.contextmanager
def kafka_address(folder: Path) -> Iterator[str]:
    """Yield the address of a broker, which is ours for as long as this lasts unless the environment names one."""
    given = os.environ.get(KAFKA_VARIABLE)
    if given:
        yield given
    elif (host := containers.host("kafka")) is not None:
        with containers.kafka_broker(host) as address:
            yield address
    else:
        with KafkaBroker(folder) as broker:
            yield broker.bootstrap


@contextlib.contextmanager
def s3_address(folder: Path) -> Iterator[S3Address]:
    """Yield the address of an object store, likewise."""
    given = os.environ.get(S3_VARIABLE)
    if given:
        yield S3Address.read(given)
    elif (host := containers.host("minio")) is not None:
        with containers.minio_server(host) as address:
            yield address
    else:
        with MinioServer(folder) as server:
            yield server.address


@contextlib.contextmanager
def queue_settings(queue: str, folder: Path) -> Iterator[Mapping[str, str]]:
    """Yield the environment of servers that use this queue (postgres, kafka), with a broker while this lasts."""
    if queue == "kafka":
        with kafka_address(folder) as address:
            yield on_kafka(address)
    else:
        yield {}


def on_kafka(address: str) -> dict[str, str]:
    """Return the environment of a server on a broker, with topics that nobody else has."""
    return {
        "TIERCEL_QUEUE_TYPE": "kafka",
        "TIERCEL_KAFKA_BOOTSTRAP_SERVERS": address,
        "TIERCEL_KAFKA_TOPIC_PREFIX": f"t{uuid.uuid4().hex[:10]}_",
    }


def prepare(name: str) -> None:
    """
    Have a service or tool ready to start; raise NotObtainable when that fails.

    Of a service whose address is given there is nothing to get, and of one in a container its image.
    """
    if name in tools.TOOLS:
        tools.TOOLS[name]()
    elif _comes_from_registries(name):
        PREPARATIONS[name.removeprefix(OWN)]()


def prepare_in_background(name: str) -> subprocess.Popen[bytes]:
    """Begin to get a service; who needs it before it is there waits for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "backing", "prepare", name],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def takes_long(name: str) -> bool:
    """Tell whether getting a service is a matter of minutes; nothing is got for the answer."""
    if name in tools.TOOLS:
        return tools.takes_long(name)
    if name.removeprefix(OWN) != "minio" or minio_files.is_built():
        return False
    return name.startswith(OWN) or not (os.environ.get(S3_VARIABLE) or containers.engine_host())


def _comes_from_registries(name: str) -> bool:
    return name.startswith(OWN) or not (os.environ.get(VARIABLES[name]) or containers.host(name))
