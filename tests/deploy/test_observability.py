"""Alerts, dashboard and scrape configuration: checked by promtool, and used by a real Prometheus on real processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from backing.process import BackingProcess
from backing.tools import Program
from tests.deploy import words
from tests.patience import PATIENCE_S, at_last
from tiercel.cli.api import RemoteServer
from tiercel.cli.live import LiveView
from tiercel.testing.server import StandaloneServer

FILES: Final = words.DEPLOY / "observability"
DASHBOARD: Final = FILES / "grafana" / "tiercel.json"
ORDER: Final = ("webserver", "executor", "indexer", "worker", "scheduler")
"""Of the management ports of a standalone server."""
QUIET: Final = frozenset({"TiercelServiceMissing"})
FLOW: Final = """\
id: watched
namespace: company.team
tasks:
  - id: one
    type: io.kestra.plugin.core.debug.Return
    format: "1"
"""


class Prometheus(BackingProcess):
    """A Prometheus that scrapes a server's processes every second."""

    name = "prometheus"

    def __init__(self, folder: Path, program: Program, server: StandaloneServer) -> None:
        super().__init__(folder)
        self._program = program
        self._server = server
        self.url = f"http://127.0.0.1:{self.port}"

    def _command(self) -> tuple[list[str], dict[str, str]]:
        configuration = yaml.safe_load((FILES / "prometheus.yaml").read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration["rule_files"] = [str(FILES / "alerts.yaml")]
        for job in configuration["scrape_configs"]:
            del job["dns_sd_configs"]  # there are no containers here whose names could be resolved
            port = self._server.management_port + ORDER.index(job["job_name"])
            job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        file = self.folder / "prometheus.yaml"
        file.write_text(yaml.safe_dump(configuration))
        command = [
            str(self._program.path), f"--config.file={file}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-lifecycle",
        ]  # fmt: skip
        return command, self._program.environment

    def _is_ready(self, log_begin: int) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    environment = {"TIERCEL_METRICS_KESTRA_NAMES": "true"}
    with StandaloneServer(tmp_path_factory.mktemp("watched"), environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def watcher(
    watched: StandaloneServer, prometheus: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus"), prometheus, watched) as running:
        yield running


@pytest.fixture
async def query(watcher: Prometheus) -> AsyncIterator[Any]:
    """Yield how Prometheus is asked: from a query to its result."""
    async with httpx.AsyncClient(base_url=watcher.url, timeout=PATIENCE_S) as client:

        async def ask(expression: str) -> list[dict[str, Any]]:
            answer = (await client.get("/api/v1/query", params={"query": expression})).json()
            assert "success" == answer["status"], f"{expression}: {answer.get('error')}"
            found: list[dict[str, Any]] = answer["data"]["result"]
            return found

        yield ask


def promtool(prometheus: Program, *arguments: str) -> str:
    done = subprocess.run(
        [prometheus.path.with_name("promtool"), *arguments], cwd=FILES, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def dashboard_queries() -> dict[str, str]:
    """Return the queries of the dashboard by panel, with Grafana's interval as a time."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in panels
        for target in panel.get("targets", ())
    }


def test_prometheus_accepts_rules_and_scrape_configuration(prometheus: Program) -> None:
    """`promtool check`."""
    assert "SUCCESS" in promtool(prometheus, "check", "rules", "alerts.yaml")
    assert "SUCCESS" in promtool(prometheus, "check", "config", "prometheus.yaml")


def test_each_alert_speaks_when_it_should(prometheus: Program) -> None:
    """`promtool test rules` on series that were made for it; each alert occurs in them."""
    assert "SUCCESS" in promtool(prometheus, "test", "rules", "alerts.test.yaml")
    tested = (FILES / "alerts.test.yaml").read_text()
    assert [] == [name for name in words.alert_queries() if name not in tested]


def test_alerts_and_dashboard_use_metrics_that_exist() -> None:
    """A name that nobody exports is a picture that stays empty and an alert that never speaks."""
    used = words.metrics_in([*words.alert_queries().values(), *dashboard_queries().values()])

    assert set() == used - words.exported()


async def test_prometheus_scrapes_every_process(watcher: Prometheus, query: Any) -> None:
    """Each job of the configuration finds its service at the path that Prometheus asks for."""

    async def look() -> set[tuple[str, str]]:
        return {(each["metric"]["job"], each["metric"]["service"]) for each in await query("tiercel_build_info")}

    expected = {(name, name) for name in ORDER}
    assert expected == await at_last(look, lambda found: found == expected), watcher.log_file
    assert [] == await query("up == 0")


async def test_every_query_is_answered_and_the_path_of_the_data_is_seen(watched: StandaloneServer, query: Any) -> None:
    """After an execution: each station of the dashboard has counted it; no alert speaks."""
    api = RemoteServer(watched.url)
    await api.put_flow(FLOW)
    for _ in range(3):
        execution = await LiveView(api, show_logs=False).follow((await api.start("company.team", "watched", {}))["id"])
        assert "SUCCESS" == execution["state"]["current"]
    await api.close()
    stations = {
        "tiercel_webserver_requests_total": 'tiercel_webserver_requests_total{method="POST",status="200"}',
        "tiercel_executor_execution_end_count_total": (
            'tiercel_executor_execution_end_count_total{flow_id="watched",namespace_id="company.team",state="SUCCESS"}'
        ),
        "tiercel_worker_started_count_total": 'tiercel_worker_started_count_total{flow_id="watched"}',
        "tiercel_indexer_message_out_count_total": "tiercel_indexer_message_out_count_total",
        "tiercel_queue_produce_count_total": 'sum(tiercel_queue_produce_count_total{topic="worker_job"})',
        "kestra_executor_execution_end_count_total": 'kestra_executor_execution_end_count_total{state="SUCCESS"}',
        "tiercel_queue_messages": 'max(tiercel_queue_messages{topic="worker_job"}) + 3',
    }

    async def short() -> dict[str, float]:
        counts = {name: sum(float(each["value"][1]) for each in await query(text)) for name, text in stations.items()}
        return {name: count for name, count in counts.items() if count < 3}

    assert {} == await at_last(short, lambda counts: not counts)
    for text in (*dashboard_queries().values(), *words.alert_queries().values()):
        await query(text)

    firing = {each["metric"]["alertname"] for each in await query('ALERTS{alertstate="firing"}')}
    assert set() == firing


async def test_panels_show_something(watched: StandaloneServer, query: Any) -> None:
    """Each panel has a series now, but for what has not happened."""
    unseen = {"executions by triggers", "lateness of schedules", "oldest", "time-outs, kills, lost"}

    async def empty() -> list[str]:
        return [
            name
            for name, text in dashboard_queries().items()
            if not await query(text) and not any(name.startswith(start) for start in unseen)
        ]

    assert [] == await at_last(empty, lambda names: not names)
