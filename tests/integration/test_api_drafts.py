"""Drafts through the API: saved unfinished, shown, and run by nobody but the playground."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api_stage import Stage
from tiercel.messages.topics import TRIGGER_EVENT
from tiercel.messages.trigger_event import FlowChanged

FLOW = "id: f\nnamespace: company.team\ntasks:\n  - {id: t, type: io.kestra.plugin.core.log.Log, message: hi}\n"
SCHEDULED = f'{FLOW}triggers:\n  - {{id: s, type: io.kestra.plugin.core.trigger.Schedule, cron: "0 * * * *"}}\n'
UNFINISHED = "id: f\nnamespace: company.team\ntasks:\n  - {id: t, type: nothing.yet}\n"
ADDRESS = "flows/company.team/f"
RUN = "executions/company.team/f"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.close()


async def test_an_execution_runs_what_is_published(stage: Stage) -> None:
    """A draft is the last revision; it is run when the playground asks for it."""
    await stage.call("POST", "flows", content=FLOW)
    draft = await stage.call("PUT", f"{ADDRESS}?draft=true", content=SCHEDULED)

    shown = await stage.call("GET", ADDRESS)
    run = await stage.call("POST", RUN)
    refused = await stage.call("POST", f"{RUN}?revision=2", 422)
    played = await stage.call("POST", f"{RUN}?revision=2&kind=PLAYGROUND")

    assert (2, True) == (draft["revision"], draft["draft"]) == (shown["revision"], shown["draft"])
    assert (1, 2) == (run["flowRevision"], played["flowRevision"])
    assert "is a draft, which only the playground runs" in refused["message"]


async def test_a_flow_of_drafts_alone_is_not_run(stage: Stage) -> None:
    """Until one of them is published, also with the same text."""
    await stage.call("POST", "flows?draft=true", content=FLOW)
    refused = await stage.call("POST", RUN, 422)

    published = await stage.call("PUT", ADDRESS, content=FLOW)

    assert "only has draft revisions" in refused["message"]
    assert (2, False) == (published["revision"], "draft" in published)
    assert 2 == (await stage.call("POST", RUN))["flowRevision"]


async def test_a_draft_may_be_unfinished(stage: Stage) -> None:
    """It is listed, shown with what is wrong, and finished later; without a name it is nothing."""
    await stage.call("POST", "flows", 422, content=UNFINISHED)
    await stage.call("POST", "flows?draft=true", content=UNFINISHED)

    shown = await stage.call("GET", f"{ADDRESS}?source=true")
    listed = await stage.call("GET", "flows/search")
    nameless = await stage.call("POST", "flows?draft=true", 422, content="namespace: company.team\n")
    await stage.call("PUT", ADDRESS, content=FLOW)

    assert (UNFINISHED, True) == (shown["source"], shown["draft"])
    assert "Invalid type: nothing.yet" in shown["exception"]
    assert [("f", True)] == [(row["id"], row["draft"]) for row in listed["results"]]
    assert "id: must not be null" in nameless["message"]
    assert 2 == (await stage.call("POST", RUN))["flowRevision"]


async def test_a_draft_changes_no_trigger(stage: Stage) -> None:
    """They are those of the published revision, and the scheduler is told when another one is published."""

    async def told() -> list[int | None]:
        found = await stage.backend.read(TRIGGER_EVENT, range(stage.backend.partitions), count=1000)
        return [each.message.revision for each in found if isinstance(each.message, FlowChanged)]

    await stage.call("POST", "flows", content=SCHEDULED)
    await stage.call("PUT", f"{ADDRESS}?draft=true", content=FLOW)
    assert [1] == await told()

    await stage.call("PUT", ADDRESS, content=FLOW)

    assert [1, None] == await told()


async def test_archives_hold_what_is_published(stage: Stage) -> None:
    """Neither of flows nor of a namespace's files is a draft in them."""
    await stage.call("POST", "flows", content=FLOW)
    await stage.call("PUT", f"{ADDRESS}?draft=true", content=SCHEDULED)
    await stage.call("POST", "flows?draft=true", content=FLOW.replace("id: f", "id: only"))
    prefix = "/api/v1/main/"
    flows = await stage.http.get(f"{prefix}flows/export/by-query")
    files = await stage.http.get(f"{prefix}namespaces/company.team/files/export")

    for archive, name in ((flows, "company.team.f.yml"), (files, "_flows/f.yml")):
        with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
            assert {name: FLOW.encode()} == {each: opened.read(each) for each in opened.namelist()}


async def test_an_invalid_draft_is_not_run(stage: Stage) -> None:
    """Not in the playground either; the sentence says why."""
    await stage.call("POST", "flows?draft=true", content=UNFINISHED)

    refused = await stage.call("POST", f"{RUN}?revision=1&kind=PLAYGROUND", 422)

    assert "its flow definition is invalid: " in refused["message"]
