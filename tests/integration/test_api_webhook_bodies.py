"""What a webhook is sent: bytes, forms with files, and bodies that go to internal storage."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.integration.api_stage import Stage
from tiercel.messages.execution_event import CreateExecution

HOOK = """
id: hook
namespace: company.team
tasks:
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
triggers:
  - id: web
    type: io.kestra.plugin.core.trigger.Webhook
    key: key
    fetchType: {fetch}
    when: "{{{{ trigger.parameters.skip is not defined }}}}"
"""
PATH = "executions/webhook/company.team/hook/key"
BYTES = bytes([0, 255, 254, 10])


async def sent(stage: Stage, fetch: str = "FETCH", **request: Any) -> tuple[str, dict[str, Any]]:
    """Return the id of the execution that the call starts, and what its trigger knows."""
    await stage.call("POST", "flows", content=HOOK.format(fetch=fetch))
    await stage.call("POST", PATH, **request)
    (event,) = await stage.events()
    assert isinstance(event, CreateExecution)
    assert event.trigger is not None
    return event.execution_id, event.trigger.variables


async def stored(stage: Stage) -> list[str]:
    """Return the URIs of all files of the flow's executions."""
    return await stage.storage.by_prefix("main", "/company/team/hook/executions")


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("application/octet-stream", BYTES, base64.b64encode(BYTES).decode()),
        ("application/pdf; x=y", b"%PDF", "JVBERg=="),
        ("application/yaml", b"a: 1", "a: 1"),
        ("application/atom+xml", b"<a/>", "<a/>"),
        ("text/csv", b"a,b", "a,b"),
        ("application/x-ndjson", b"{}\n{}\n", "{}\n{}\n"),
        ("text/plain", b'{"a": 1}', {"a": 1}),
        ("", b"text", "text"),
        ("application/octet-stream", b"", None),
    ],
)
async def test_bytes_reach_the_flow_in_base64(stage: Stage, kind: str, content: bytes, expected: Any) -> None:
    """The content type tells them from texts."""
    _, variables = await sent(stage, content=content, headers={"content-type": kind} if kind else {})

    assert expected == variables["body"]


@pytest.mark.parametrize("fetch", ["FETCH", "STORE", "NONE"])
async def test_the_files_of_a_form_are_stored(stage: Stage, fetch: str) -> None:
    """Those that share a name, too; the other parts are lists of texts."""
    files: list[tuple[str, Any]] = [
        ("file", ("a.bin", BYTES, "application/x-thing")),
        ("file", ("../a.bin", b"other")),
        ("note", (None, "one")),
        ("note", (None, "two")),
    ]
    execution_id, variables = await sent(stage, fetch, files=files)

    first, second = variables["parts"]
    assert {
        "name": "file",
        "filename": "a.bin",
        "contentType": "application/x-thing",
        "size": 4,
    }.items() <= first.items()
    assert f"/company/team/hook/executions/{execution_id}/webhook/" in first["uri"]
    assert BYTES == await stage.storage.read("main", first["uri"])
    assert b"other" == await stage.storage.read("main", second["uri"])
    assert {"note": ["one", "two"]} == variables["formFields"]
    assert variables["body"] is None
    assert "uri" not in variables


async def test_a_form_without_files_stores_nothing(stage: Stage) -> None:
    """Its parts are an empty list."""
    _, variables = await sent(stage, files={"note": (None, "one")})

    assert ([], {"note": ["one"]}) == (variables["parts"], variables["formFields"])
    assert [] == await stored(stage)


async def test_a_body_may_be_stored(stage: Stage) -> None:
    """Whatever its content type; the flow sees its URI only."""
    execution_id, variables = await sent(stage, "STORE", json={"a": 1})

    assert variables["uri"].endswith(f"/executions/{execution_id}/webhook/body")
    assert b'{"a":1}' == await stage.storage.read("main", variables["uri"])
    assert variables["body"] is None


@pytest.mark.parametrize(("fetch", "content"), [("STORE", b""), ("NONE", b"content")])
async def test_no_body_no_uri(stage: Stage, fetch: str, content: bytes) -> None:
    """An empty body is not stored, and one that is dropped leaves nothing."""
    _, variables = await sent(stage, fetch, content=content)

    assert variables["body"] is None
    assert "uri" not in variables
    assert [] == await stored(stage)


async def test_a_call_that_starts_nothing_leaves_nothing(stage: Stage) -> None:
    """When the conditions do not hold, what was stored is deleted."""
    await stage.call("POST", "flows", content=HOOK.format(fetch="STORE"))

    await stage.call("POST", f"{PATH}?skip=1", 204, content=BYTES)
    await stage.call("POST", f"{PATH}?skip=1", 204, files={"file": ("a.bin", BYTES)})

    assert [] == await stored(stage)
    assert [] == await stage.events()
