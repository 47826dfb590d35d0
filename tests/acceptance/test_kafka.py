"""Tiercel on Kafka, as somebody starts it: by settings alone; a worker there needs nothing but brokers and storage."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backing import choice
from tests.acceptance.installation import Installation
from tests.patience import PATIENCE_S, until

FLOW = """
id: {id}
namespace: bad
tasks:
  - id: first
    type: io.kestra.plugin.core.debug.Return
    format: one
  - id: second
    type: io.kestra.plugin.core.log.Log
    message: "{{{{ outputs.first.value }}}} and two"
"""
ELSEWHERE = """
id: elsewhere
namespace: bad
tasks:
  - id: there
    type: io.kestra.plugin.core.debug.Return
    format: from afar
    workerSelector:
      tags: [afar]
"""


@pytest.fixture(scope="module")
def environment(kafka: str) -> dict[str, str]:
    return choice.on_kafka(kafka)


async def test_a_flow_runs_through_all_processes(installation: Installation) -> None:
    """Its messages go through topics, and the tables of messages stay empty."""
    execution = await installation.run(FLOW.format(id="through"), "through")

    assert "SUCCESS" == execution["state"]["current"]
    assert "one and two" in await installation.said(execution["id"], "one and two")
    for table in ("execution_event", "history", "broadcast", "worker_event"):
        assert [(0,)] == await installation.sql(f"SELECT count(*) FROM tq.{table}")
    assert [(True,)] == await installation.sql("SELECT sum(next_offset) > 0 FROM tq.position")


async def test_a_worker_needs_no_database(
    installation: Installation, environment: dict[str, str], tmp_path: Path, kafka: str
) -> None:
    """It starts without an address of one, runs what it is sent, and has no connection but to the brokers."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TIERCEL_")}
    own |= environment
    own |= {
        "TIERCEL_WORKER_TAGS": "afar",
        "TIERCEL_WORKER_ONLY_TAGS": "true",
        "TIERCEL_STORAGE_LOCAL_BASE_PATH": str(installation.server.data / "storage"),
    }
    command = [sys.executable, "-m", "tiercel.cli.main", "server", "worker", "--management-port", "0"]
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(  # noqa: ASYNC220 nothing else runs meanwhile
            [*command, "--data", str(tmp_path)], env=own, stdout=log, stderr=log
        )
    try:
        execution = await installation.run(ELSEWHERE, "elsewhere")
        remote = connections(worker.pid)
    finally:
        worker.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(worker.wait, PATIENCE_S)

    assert "SUCCESS" == execution["state"]["current"], (tmp_path / "worker.log").read_text()
    assert "from afar" == execution["taskRunList"][0]["outputs"]["value"]
    assert {kafka} == remote
    assert 0 == code


def connections(pid: int) -> set[str]:
    """Return where a process has connections to, TCP and named sockets."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = entry.readlink().name
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in sockets and fields[3] == "01":
                found.add(f"127.0.0.1:{int(fields[2].rsplit(':', 1)[1], 16)}")
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in sockets and len(fields) > 7:
            found.add(fields[7])
    return found


@pytest.mark.parametrize("name", ["executor", "worker"])
async def test_a_process_that_stood_still_is_fenced(installation: Installation, name: str) -> None:
    """Stopped for longer than its lease or its heartbeat may last, then woken: nothing is lost, doubled or stuck."""
    flow_id = f"still-{name}"
    await installation.put(FLOW.format(id=flow_id))
    ids = [await installation.start(flow_id) for _ in range(10)]
    pid = installation.server.processes()[name]

    os.kill(pid, signal.SIGSTOP)
    try:
        ids += [await installation.start(flow_id) for _ in range(10)]
        await asyncio.sleep(14)  # the standing still is what is tested: a lease lasts ten seconds
    finally:
        os.kill(pid, signal.SIGCONT)

    ended = [await installation.ended(each, within_s=2 * PATIENCE_S) for each in ids]
    assert ["SUCCESS"] * 20 == [execution["state"]["current"] for execution in ended]
    assert [1] * 40 == [len(run["attempts"]) for execution in ended for run in execution["taskRunList"]]
    assert [] == await installation.sql("SELECT topic, reason FROM tq.dead_letter")


async def test_a_poisoned_message_is_buried(installation: Installation) -> None:
    """What nobody can decode becomes a dead letter, and what comes after it in its partition is worked on."""
    from confluent_kafka import Producer  # noqa: PLC0415 an extra that need not be there

    settings = installation.server.environment
    producer = Producer({"bootstrap.servers": settings["TIERCEL_KAFKA_BOOTSTRAP_SERVERS"]})
    for partition in range(16):
        name = f"{settings['TIERCEL_KAFKA_TOPIC_PREFIX']}execution_event"
        producer.produce(name, b"poison", key=b"somebody", partition=partition)
    producer.flush(PATIENCE_S)

    execution = await installation.run(FLOW.format(id="after-poison"), "after-poison")

    async def all_buried() -> bool:
        return (await installation.sql("SELECT count(*) FROM tq.dead_letter WHERE body = 'poison'")) == [(16,)]

    assert "SUCCESS" == execution["state"]["current"]
    await until(all_buried, "sixteen dead letters")
