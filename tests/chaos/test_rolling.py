"""A rolling restart of every service under load, on each queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.rolling import Rolling
from tests.chaos.verdict import report
from tiercel.cli.main import SERVICES
from tiercel.runtime.embedded import EmbeddedPostgres
from tiercel.runtime.settings import QueueSettings

QUEUES = [queue for queue in get_args(get_type_hints(QueueSettings)["type"]) if queue != "memory"]


@pytest.fixture(params=QUEUES)
def queue(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Return the settings of a queue."""
    if request.param == "kafka":
        return {"TIERCEL_QUEUE_TYPE": "kafka", "TIERCEL_KAFKA_BOOTSTRAP_SERVERS": request.getfixturevalue("kafka")}
    return {"TIERCEL_QUEUE_TYPE": request.param}


@pytest.fixture
def fleet(queue: Mapping[str, str], tmp_path: Path) -> Iterator[Fleet]:
    with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        arguments = ("--postgres", postgres.uri(), "--data", str(tmp_path / "data"))
        with Fleet(tmp_path, arguments, queue) as fleet:
            yield fleet


@pytest.mark.timeout(900)
async def test_when_each_service_is_replaced_under_load_nothing_is_lost_or_doubled(fleet: Fleet) -> None:
    """Each old process drains long before its grace is over and ends with 0; every request is answered."""
    rolling = Rolling(fleet)

    await rolling.run()

    print(report(rolling.verdict), *rolling.replacements, sep="\n")
    assert rolling.verdict.holds, report(rolling.verdict)
    assert [] == rolling.unanswered
    assert dict.fromkeys(SERVICES, 0) == {each.service: each.exit_code for each in rolling.replacements}
    assert {("service_ready", "service_stopping", "service_stopped")} == {each.actions for each in rolling.replacements}
