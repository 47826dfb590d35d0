"""All processes on one machine, as anybody starts them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.patience import look_until
from tests.processes import is_running
from tiercel.cli.api import RemoteServer
from tiercel.cli.live import LiveView
from tiercel.testing.server import StandaloneServer

FLOW = """\
id: greet
namespace: acceptance
inputs:
  - id: name
    type: STRING
tasks:
  - id: words
    type: io.kestra.plugin.core.debug.Return
    format: "Hello {{ inputs.name }}"
  - id: tell
    type: io.kestra.plugin.core.log.Log
    message: "{{ outputs.words.value }}!"
outputs:
  - id: greeting
    type: STRING
    value: "{{ outputs.words.value }}"
"""


def test_every_process_answers_health_and_metrics(server: StandaloneServer) -> None:
    """Each on its own port, from the webserver's on."""
    answers = {
        port: (httpx.get(f"http://127.0.0.1:{port}/health"), httpx.get(f"http://127.0.0.1:{port}/metrics"))
        for port in range(server.management_port, server.management_port + 5)
    }

    names = [health.json()["name"] for health, _ in answers.values()]
    assert ["webserver", "executor", "indexer", "worker", "scheduler"] == names
    assert all(health.status_code == 200 and "tiercel_" in metrics.text for health, metrics in answers.values())


async def test_a_flow_runs_through_all_processes(api: RemoteServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Inputs go in, outputs and log lines come out."""
    await api.put_flow(FLOW)
    started = await api.start("acceptance", "greet", {"name": "world"})

    execution = await LiveView(api).follow(started["id"])

    assert ("SUCCESS", {"greeting": "Hello world"}) == (execution["state"]["current"], execution["outputs"])
    assert "tell | Hello world!" in capsys.readouterr().out


async def test_a_killed_process_is_replaced_and_work_goes_on(server: StandaloneServer, api: RemoteServer) -> None:
    """The supervisor starts another one; nobody else is restarted."""
    await api.put_flow(FLOW)
    before = server.processes()

    os.kill(before["executor"], signal.SIGKILL)
    started = await api.start("acceptance", "greet", {"name": "again"})
    execution = await LiveView(api, show_logs=False).follow(started["id"])

    after = server.processes()
    assert "SUCCESS" == execution["state"]["current"]
    assert before["executor"] != after["executor"]
    assert {name: pid for name, pid in before.items() if name != "executor"} == {
        name: pid for name, pid in after.items() if name != "executor"
    }


def test_children_and_postgresql_die_with_a_killed_supervisor(
    tmp_path: Path, queue_settings: Callable[[], dict[str, str]]
) -> None:
    """Nothing of it is left running, and what was stored is there at the next start."""
    environment = queue_settings()
    first = StandaloneServer(tmp_path, environment=environment)
    first.start()
    processes = first.processes()

    os.kill(first.pid, signal.SIGKILL)
    first.stop()

    look_until(lambda: not any(is_running(pid) for pid in processes.values()), f"all of {processes} to end")
    with StandaloneServer(tmp_path, environment=environment) as second:
        assert 200 == httpx.get(f"{second.url}/api/v1/main/flows/search").status_code


def test_it_stops_cleanly(tmp_path: Path, queue_settings: Callable[[], dict[str, str]]) -> None:
    """SIGTERM: everybody drains and ends with 0, and PostgreSQL last."""
    server = StandaloneServer(tmp_path, environment=queue_settings())
    server.start()

    code = server.stop()

    stopped = {event["service"] for event in server.events() if event.get("action") == "service_stopped"}
    assert (0, {"executor", "indexer", "scheduler", "webserver", "worker"}) == (code, stopped)
