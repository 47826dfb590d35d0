"""Records of changes: what leaves one, and what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_stage import Stage, running
from tests.patience import until
from tiercel.errors import Unavailable
from tiercel.webserver import audit
from tiercel.webserver.handlers import HANDLERS

FLOW = """id: hello
namespace: company.team
tasks:
- {id: wait, type: io.kestra.plugin.core.flow.Pause}
"""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    async with running(stage):
        yield stage
    await stage.close()


async def records(stage: Stage, count: int) -> list[dict[str, Any]]:
    """Return what is on record, the oldest first, once there are so many records."""

    async def found() -> list[dict[str, Any]]:
        answer: dict[str, Any] = await stage.call("GET", "auditlogs/search?sort=date:asc")
        return answer["results"] if len(answer["results"]) >= count else []

    return await until(found, f"{count} records")


def said(found: Iterable[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(record["action"], record["subject"], record["detail"]["status"]) for record in found]


async def test_what_changes_something_is_on_record_and_nothing_else(stage: Stage) -> None:
    """Questions, refused requests, and executions, which are their own record, leave none."""
    await stage.call("POST", "flows", content=FLOW)
    await stage.call("POST", "flows", 422, content=FLOW)
    await stage.call("POST", "flows/validate", content=FLOW)
    await stage.call("POST", "flows/graph", content=FLOW)
    created = await stage.call("POST", "executions/company.team/hello")
    await stage.call("PUT", "namespaces/company.team/kv/color?ttl=PT1H", content='"blue"')
    await stage.call("DELETE", f"executions/{created['id']}/kill")
    await stage.call("DELETE", "executions/nobody/kill", 404)

    found = await records(stage, 3)

    assert [
        ("POST /flows", "/flows", 200),
        ("PUT /namespaces/{namespace}/kv/{key}", "/namespaces/company.team/kv/color", 200),
        ("DELETE /executions/{execution_id}/kill", f"/executions/{created['id']}/kill", 200),
    ] == said(found)
    assert {"status": 200, "query": "ttl=PT1H", "client": "127.0.0.1"} == found[1]["detail"]
    assert {("anonymous", "main")} == {(record["userId"], record["tenantId"]) for record in found}


async def test_a_record_of_a_bulk_request_names_what_was_asked_for(stage: Stage) -> None:
    """The ids are in the body, and no other body is kept: it may hold what nobody should read."""
    await stage.call("POST", "flows", content=FLOW)
    created = await stage.call("POST", "executions/company.team/hello")
    await stage.call("DELETE", "executions/kill/by-ids", 202, json=[created["id"]])

    flow, bulk = await records(stage, 2)

    assert f'["{created["id"]}"]' == bulk["detail"]["body"]
    assert "body" not in flow["detail"]


async def test_with_a_password_the_record_names_the_user(tmp_path: Path) -> None:
    """Who has not shown it has changed nothing."""
    stage = Stage(tmp_path, username="ada", password="Lovelace1")
    stage.http.auth = ("ada", "Lovelace1")
    async with running(stage):
        await stage.call("POST", "flows", 401, content=FLOW, auth=("eve", "x"))
        await stage.call("POST", "flows", content=FLOW)

        found = await records(stage, 1)
    await stage.close()

    assert ["ada"] == [record["userId"] for record in found]


async def test_a_change_that_cannot_be_recorded_is_in_the_log(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has happened, and is answered."""

    async def away(*_: Any) -> None:
        raise Unavailable("the queue is away")

    monkeypatch.setattr(stage.app.api.emitter, "emit", away)

    await stage.call("PUT", "namespaces/company.team/kv/color", content='"blue"')

    assert "PUT /namespaces/{namespace}/kv/{key} on /namespaces/company.team/kv/color by anonymous" in caplog.text


def test_handlers_that_leave_no_record_exist() -> None:
    """A handler that got another name would leave records unnoticed."""
    names = {handler.handler_name for handler in HANDLERS}

    assert set() == (audit.READS | audit.CREATIONS) - names
