"""Triggers through the API: how they are listed, and which of them can be unlocked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.samples import leases_of
from tests.integration.api_stage import Stage
from tiercel.messages.topics import TRIGGER_EVENT, partition_of
from tiercel.model.trigger_state import TriggerState


def state(name: str, **known: object) -> TriggerState:
    plain = TriggerState(
        uid=f"main/n/f/{name}", namespace="n", flow_id="f", trigger_id=name, flow_revision=1, version=1
    )
    return plain.__class__(**{field: getattr(plain, field) for field in plain.__struct_fields__} | known)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    leases = await leases_of(stage.backend, service="scheduler")
    async with stage.backend.transaction(leases) as unit:
        for each in (
            state("a"),
            state("b", locked=True),
            state("c", next_evaluation_date=datetime(2026, 1, 1, tzinfo=UTC)),
        ):
            unit.save_trigger(each, partition_of(each.uid), None)
    yield stage
    await stage.close()


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("triggerId:desc", "cba"),
        ("locked:desc,triggerId:asc", "bac"),
        ("nextExecutionDate:asc", "cab"),
        ("nextEvaluationDate:desc", "abc"),
    ],
)
async def test_triggers_are_sorted_by_what_is_shown_of_them(stage: Stage, sort: str, expected: str) -> None:
    """What is not known comes last, or first when the order is turned round."""
    found = await stage.call("GET", f"triggers/search?sort={sort}")

    assert expected == "".join(each["state"]["triggerId"] for each in found["results"])


async def test_an_order_that_nobody_knows_is_refused(stage: Stage) -> None:
    """The sentence names those that are known."""
    refused = await stage.call("GET", "triggers/search?sort=nothing:asc", 422)

    assert "Triggers cannot be sorted by 'nothing'; use one of namespace, flowId, triggerId" in refused["message"]


async def test_only_what_is_locked_is_unlocked(stage: Stage) -> None:
    """Bulk requests count no others, and one by name is told that there is nothing to do."""
    named = [{"namespace": "n", "flowId": "f", "triggerId": name} for name in "abz"]

    by_name = await stage.call("POST", "triggers/unlock/by-triggers", 202, json=named)
    by_query = await stage.call("POST", "triggers/unlock/by-query?filters[triggerId][EQUALS]=a", 202)
    refused = await stage.call("POST", "triggers/n/f/a/unlock", 409)
    older = await stage.call("POST", "/api/v1/triggers/n/f/a/unlock", 409)

    assert (1, 0) == (by_name["totalItems"], by_query["totalItems"])
    assert "trigger [tenant=main, namespace=n, flow=f, trigger=a] is already unlocked" in refused["message"]
    assert "Trigger is not locked" in older["message"]
    sent = await stage.backend.read(TRIGGER_EVENT, range(stage.backend.partitions), count=10)
    assert [("main/n/f/b", "unlock")] == [(each.message.trigger_uid, each.message.command) for each in sent]
