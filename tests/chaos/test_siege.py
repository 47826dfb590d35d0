"""A short siege with every run of the tests; the long one is `make chaos`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from backing import choice
from backing.kafka import KafkaBroker
from backing.minio import MinioServer
from backing.process import BackingProcess
from tests.chaos.siege import VICTIMS, Plan, Siege
from tests.chaos.verdict import report
from tiercel.testing.server import StandaloneServer


@pytest.mark.timeout(900)
async def test_nothing_is_lost_doubled_or_stuck_when_processes_die(
    tmp_path: Path, queue_settings: Callable[[], dict[str, str]]
) -> None:
    """Each process is killed and PostgreSQL cut off while executions run; all of them end well, each change once."""
    with StandaloneServer(tmp_path, environment=queue_settings()) as server:
        verdict = await Siege(server, Plan(executions=120, rounds=1, restarts=1, pause_s=2.5)).run()

    assert verdict.holds, report(verdict)


@pytest.mark.timeout(900)
async def test_nothing_is_lost_when_kafka_and_the_object_store_restart_too(
    tmp_path: Path, kafka_broker: KafkaBroker, minio_server: MinioServer
) -> None:
    """Each of the three backing services is cut off and stopped once, while processes are killed."""
    environment = {**choice.on_kafka(kafka_broker.bootstrap), **minio_server.address.environment("siege")}
    backing: dict[str, BackingProcess] = {"kafka": kafka_broker, "minio": minio_server}
    with StandaloneServer(tmp_path, environment=environment) as server:
        verdict = await Siege(server, Plan(executions=90, rounds=1, restarts=2, pause_s=2.5), backing).run()

    assert verdict.holds, report(verdict)


def test_restarts_of_backing_services_lie_evenly_between_the_kills() -> None:
    """Each is restarted as often as was asked for, in turn, and not at the beginning."""
    blows = Plan(executions=1, rounds=7, restarts=2, pause_s=1.0).blows(("kafka", "minio"))

    restarts = [(place, name) for place, name in enumerate(blows) if name not in VICTIMS]
    assert ["postgres-0", "kafka-0", "minio-0", "postgres-1", "kafka-1", "minio-1"] == [name for _, name in restarts]
    assert list(VICTIMS) * 7 == [name for name in blows if name in VICTIMS]
    places = [0, *(place for place, _ in restarts), len(blows)]
    assert {5, 6} == {after - before for before, after in pairwise(places)}
