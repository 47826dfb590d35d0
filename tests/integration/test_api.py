"""The API on adapters in memory: what it answers, and what it sends."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.integration.api_stage import Stage, running
from tests.patience import PATIENCE_S
from tiercel.messages.execution_event import CreateExecution
from tiercel.webserver import reader
from tiercel.webserver.settings import RulesOf2

HELLO = """
id: hello
namespace: company.team
labels:
  owner: me
  system.readOnly: "true"
inputs:
  - id: number
    type: INT
    defaults: 3
  - id: file
    type: FILE
    required: false
tasks:
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
"""
OVER_AT_ONCE = """
id: over
namespace: company.team
tasks: [{id: never, type: io.kestra.plugin.core.flow.Pause, runIf: "false"}]
"""


async def test_a_flow_lives_through_create_update_and_delete(stage: Stage) -> None:
    """Each change is a revision; the same text is none; a deleted flow stays readable by revision."""
    created = await stage.call("POST", "flows", content=HELLO)
    same = await stage.call("PUT", "flows/company.team/hello", content=HELLO)
    updated = await stage.call("PUT", "flows/company.team/hello", content=HELLO + "description: new\n")
    await stage.call("POST", "flows", 422, content=HELLO)
    await stage.call("DELETE", "flows/company.team/hello", 204)
    await stage.call("GET", "flows/company.team/hello", 404)
    deleted = await stage.call("GET", "flows/company.team/hello?allowDeleted=true")
    revisions = await stage.call("GET", "flows/company.team/hello/revisions")

    assert [1, 1, 2] == [created["revision"], same["revision"], updated["revision"]]
    assert HELLO == created["source"]
    assert deleted["deleted"]
    assert [1, 2, 3] == [revision["revision"] for revision in revisions]


@pytest.mark.parametrize(
    ("rules", "path", "status"),
    [
        ("by-path", "/api/v1/main/flows", 422),
        ("by-path", "/api/v1/flows", 200),
        ("by-path", "/api/v1/main/flows/bulk", 422),
        ("by-path", "/api/v1/flows/bulk", 200),
        ("refuse", "/api/v1/flows", 422),
        ("warn", "/api/v1/main/flows", 200),
    ],
)
async def test_a_schedule_without_a_required_input_is_saved_for_clients_of_1(
    tmp_path: Path, rules: str, path: str, status: int
) -> None:
    """Kestra refuses it since 2.0, whose clients name the tenant; the setting says otherwise."""
    stage = Stage(tmp_path, rules_of_2=RulesOf2(rules))
    schedule = "triggers: [{id: daily, type: io.kestra.plugin.core.trigger.Schedule, cron: '@daily'}]\n"
    source = HELLO.replace("    defaults: 3\n", "") + schedule

    answer = await stage.call("POST", path, status, content=source)

    assert 200 == status or "Missing inputs for Schedule Trigger 'daily'" in str(answer)
    await stage.close()


async def test_revisions_of_a_flow_are_deleted(stage: Stage) -> None:
    """Those that are named and are not the last; numbers that are none are refused."""
    await stage.call("POST", "flows", content=HELLO)
    await stage.call("PUT", "flows/company.team/hello", content=HELLO + "description: new\n")

    answer = await stage.call("DELETE", "flows/company.team/hello/revisions?revisions=1,2")
    left = await stage.call("GET", "flows/company.team/hello/revisions")
    refused = await stage.call("DELETE", "flows/company.team/hello/revisions?revisions=one", 422)

    assert {"revisions": [1]} == answer
    assert [2] == [revision["revision"] for revision in left]
    assert "'one' is no number of a revision" in refused["message"]
    await stage.call("DELETE", "flows/company.team/hello/revisions", 422)
    await stage.call("DELETE", "flows/company.team/none/revisions?revisions=1", 404)


async def test_an_invalid_flow_is_refused_with_all_problems(stage: Stage) -> None:
    """Each problem has its path and its place in the text."""
    answer = await stage.call("POST", "flows", 422, content="id: x\nnamespace: y\ntasks:\n  - id: a\n    type: none\n")

    problem = answer["_embedded"]["errors"][0]
    assert answer["message"].startswith("Invalid entity: ")
    assert ("tasks[0].type", 5) == (problem["path"], problem["line"])
    assert "/api/v1/main/flows" == answer["_links"]["self"]["href"]


async def test_what_only_newer_versions_refuse_is_saved_and_what_can_only_fail_is_not(stage: Stage) -> None:
    """Flows that were written for earlier versions move here one by one; the validation says what the newest refuse."""
    text = "id: fine\nnamespace: company.team\ntasks:\n  - {id: t, type: io.kestra.plugin.core.log.Log, message: hi}\n"
    inputs = "inputs: [{id: i, type: STRING, required: false, defaults: x}]\n"
    hopeless = "  - {id: get, type: io.kestra.plugin.core.http.Request, uri: 'not an address'}\n"

    await stage.call("POST", "flows", content=text + inputs)
    (judged,) = await stage.call("POST", "flows/validate", content=text + inputs)
    refused = await stage.call("PUT", "flows/company.team/fine", 422, content=text + hopeless)

    assert "must be required" in judged["constraints"]
    assert "is not an address of HTTP" in refused["message"]


async def test_the_validation_says_where_its_warnings_stand(stage: Stage) -> None:
    """`warnings` are Kestra's sentences; each has its place beside it, as problems have."""
    text = "id: fine\nnamespace: company.team\ntasks:\n- {id: t, type: io.kestra.plugin.core.log.Log, message: hi}\n"

    (judged,) = await stage.call(
        "POST", "flows/validate", content=f"{text}triggers:\n- {{id: t, type: io.kestra.plugin.core.trigger.Flow}}\n"
    )

    (place,) = judged["warningPlaces"]
    assert [place["message"]] == judged["warnings"]
    assert ("", 6, 3) == (place["path"], place["line"], place["column"])


async def test_a_flow_may_leave_to_the_installation_what_its_defaults_give(tmp_path: Path) -> None:
    """Plugin defaults of the installation count when a flow is validated and saved."""
    text = "id: f\nnamespace: {}\ntasks:\n  - {{id: t, type: io.kestra.plugin.core.log.Log}}\n"
    defaults = [{"namespace": "company", "type": "io.kestra.plugin.core.log.Log", "values": {"message": "hi"}}]
    stage = Stage(tmp_path, plugin_defaults=tuple(defaults))
    try:
        answer = await stage.call("POST", "flows/validate", content=text.format("company.team"))
        assert "constraints" not in answer[0]
        assert await stage.call("POST", "flows", content=text.format("company.team"))
        refused = await stage.call("POST", "flows", 422, content=text.format("other"))
        assert "must not be null" in refused["message"]
    finally:
        await stage.close()


async def test_flows_are_saved_in_bulk_and_listed(stage: Stage) -> None:
    """A namespace's text replaces its flows; search finds by prefix and text."""
    other = HELLO.replace("id: hello", "id: other").replace("company.team", "company.team")
    await stage.call("POST", "flows/bulk", content=f"{HELLO}\n---\n{other}")
    await stage.call("POST", "flows/company.team?delete=true", content=other)

    found = await stage.call("GET", "flows/search?filters[namespace][PREFIX]=company&q=other")
    names = await stage.call("GET", "namespaces/search")

    assert (["other"], 1) == ([flow["id"] for flow in found["results"]], found["total"])
    assert ["company", "company.team", "system"] == [each["id"] for each in names["results"]]
    await stage.call("GET", "flows/company.team/hello", 404)


async def test_creating_an_execution_sends_one_event(stage: Stage) -> None:
    """The answer is the execution as it was sent: typed inputs, stored files, labels of flow, request and system."""
    await stage.call("POST", "flows", content=HELLO)

    answer = await stage.call(
        "POST",
        "executions/company.team/hello?labels=team:data&labels=owner:you",
        files={"number": (None, "7"), "file": ("a.txt", b"content")},
    )

    (event,) = await stage.events()
    assert isinstance(event, CreateExecution)
    labels = {label["key"]: label["value"] for label in answer["labels"]}
    assert {
        "owner": "you",
        "team": "data",
        "system.correlationId": answer["id"],
        "system.from": "api",
    } == labels
    assert "CREATED" == answer["state"]["current"]
    assert f"http://localhost:8080/ui/main/executions/company.team/hello/{answer['id']}" == answer["url"]
    assert "http://localhost:8080/ui/main/flows/company.team/hello" == answer["flowUrl"]
    assert event.inputs == answer["inputs"]
    assert 7 == answer["inputs"]["number"]
    assert b"content" == await stage.storage.read("main", answer["inputs"]["file"])
    assert answer["id"] == (await stage.call("GET", f"executions/{answer['id']}"))["id"]


async def test_who_asks_after_creating_is_told_of_the_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a creation has shown the execution: asking again at once is waiting for its end, for a moment."""
    monkeypatch.setattr(reader, "REPEAT_S", PATIENCE_S)
    await stage.call("POST", "flows", content=OVER_AT_ONCE)

    created = await stage.call("POST", "executions/company.team/over")
    async with running(stage):
        seen = await stage.call("GET", f"executions/{created['id']}")

    assert ("CREATED", "SUCCESS") == (created["state"]["current"], seen["state"]["current"])


async def test_refused_inputs_leave_no_files(stage: Stage) -> None:
    """All problems are named, nothing is sent, and what was uploaded is removed."""
    await stage.call("POST", "flows", content=HELLO)

    answer = await stage.call(
        "POST",
        "executions/company.team/hello",
        422,
        files={"number": (None, "seven"), "file": ("a.txt", b"content")},
    )

    assert "Invalid value for input `number`" in answer["message"]
    assert [] == await stage.events()
    assert [] == await stage.storage.by_prefix("main", "/company/team/hello")


@pytest.mark.parametrize(
    ("behavior", "status"), [("BLOCK_EXECUTION", 422), ("FAIL_EXECUTION", 200), ("CREATE_EXECUTION", 200)]
)
async def test_checks_are_asked_before_an_execution_is_created(stage: Stage, behavior: str, status: int) -> None:
    """A check that does not hold blocks, makes the execution FAILED, or only warns."""
    check = f"  - {{when: '{{{{ inputs.number > 5 }}}}', message: too few, behavior: {behavior}}}\n"
    await stage.call("POST", "flows", content=f"{HELLO}checks:\n{check}")

    judged = await stage.call("POST", "executions/company.team/hello/validate")
    await stage.call("POST", "executions/company.team/hello", status)

    reasons = [event.failed for event in await stage.events() if isinstance(event, CreateExecution)]
    expected = {"BLOCK_EXECUTION": [], "FAIL_EXECUTION": ["too few"], "CREATE_EXECUTION": [None]}
    assert expected[behavior] == reasons
    assert ["too few"] == [each["message"] for each in judged["checks"]]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("executions/company.team/nothing", 404, "Flow not found"),
        ("executions/company.team/hello?labels=system.x:y", 422, "System labels"),
        ("executions/company.team/hello?labels=:v", 422, "Invalid label"),
        ("executions/company.team/hello?revision=9", 404, "Flow not found"),
        ("executions/company.team/hello?scheduleDate=soon", 422, "must be an instant"),
        ("executions/company.team/hello?kind=ODD", 422, "is not a kind"),
        ("executions/company.team/hello?wait=maybe", 422, "'true' or 'false'"),
        ("/api/v1/other/executions/company.team/hello", 404, "Tenant 'other' does not exist"),
    ],
)
async def test_a_bad_request_is_answered_with_a_sentence(stage: Stage, path: str, status: int, says: str) -> None:
    """Nothing is sent."""
    await stage.call("POST", "flows", content=HELLO)

    answer = await stage.call("POST", path, status)

    assert says in answer["message"]
    assert [] == await stage.events()


async def test_a_disabled_flow_is_not_executed(stage: Stage) -> None:
    """Disabling changes the text; enabling changes it back."""
    await stage.call("POST", "flows", content=HELLO)
    named = [{"namespace": "company.team", "id": "hello"}]

    assert {"count": 1} == await stage.call("POST", "flows/disable/by-ids", json=named)
    await stage.call("POST", "executions/company.team/hello", 409)
    assert {"count": 1} == await stage.call("POST", "flows/enable/by-ids", json=named)
    unnamed = await stage.call("POST", "flows/disable/by-ids", 422, json=[{"namespace": "company.team", "id": None}])
    assert "must be a list of" in unnamed["message"]
    await stage.call("POST", "executions/company.team/hello")


async def test_basic_authentication_guards_all_but_open_paths(tmp_path: Path) -> None:
    """The password is asked for; webhooks and ping are open, with and without the tenant."""
    stage = Stage(tmp_path, username="me@x.y", password="secret")

    refused = await stage.http.get("/api/v1/main/flows/search")
    wrong = await stage.http.get("/api/v1/main/flows/search", auth=("me@x.y", "guess"))
    allowed = await stage.http.get("/api/v1/main/flows/search", auth=("me@x.y", "secret"))
    hook = await stage.http.get("/api/v1/main/executions/webhook/a/b/c")
    sneaky = await stage.http.get("/api/v1/main/executions/webhook/../search")

    assert (401, 401, 200, 404) == (refused.status_code, wrong.status_code, allowed.status_code, hook.status_code)
    assert "Basic" in refused.headers["www-authenticate"]
    assert 200 != sneaky.status_code
    assert 200 == (await stage.http.get("/ping")).status_code
    await stage.close()


@pytest.mark.parametrize(
    ("method", "path", "origin", "status"),
    [
        ("POST", "flows", "https://evil.example", 403),
        ("POST", "executions/company.team/quick", "https://evil.example", 403),
        ("DELETE", "flows/company.team/quick", "null", 403),
        ("GET", "flows/search", "https://evil.example", 200),
        ("POST", "executions/webhook/company.team/none/key", "https://evil.example", 404),
        ("POST", "flows", "http://tiercel", 422),
        ("POST", "flows", "https://ours.example", 422),
        ("POST", "flows", None, 422),
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    tmp_path: Path, method: str, path: str, origin: str | None, status: int
) -> None:
    """A browser asks for whoever is open in it; webhooks are for everybody who knows their key."""
    stage = Stage(tmp_path, allowed_origins=("https://ours.example",))
    headers = {"content-type": "text/plain"} | ({"origin": origin} if origin is not None else {})

    answer = await stage.http.request(method, f"/api/v1/main/{path}", content="id: [", headers=headers)

    assert status == answer.status_code, answer.text
    assert origin == "https://ours.example" or "access-control-allow-origin" not in answer.headers
    await stage.close()


async def test_a_page_that_is_allowed_asks_first_and_then_with_the_password(tmp_path: Path) -> None:
    """The browser's question bears no password; its answer names the site, and another site gets none."""
    stage = Stage(tmp_path, username="me", password="secret", allowed_origins=("https://ours.example",))
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}

    ours, others = [
        await stage.http.options("/api/v1/main/flows", headers={"origin": origin, **asking})
        for origin in ("https://ours.example", "https://evil.example")
    ]
    read = await stage.http.get(
        "/api/v1/main/flows/search", headers={"origin": "https://ours.example"}, auth=("me", "secret")
    )
    silent = await stage.http.options("/api/v1/main/flows")

    assert "https://ours.example" == ours.headers["access-control-allow-origin"]
    assert "authorization" in ours.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-origin" not in others.headers
    assert (200, "https://ours.example") == (read.status_code, read.headers["access-control-allow-origin"])
    assert 401 == silent.status_code
    await stage.close()


async def test_a_value_of_a_namespace_is_text(stage: Stage) -> None:
    """Bytes that are none would be changed: nothing is stored."""
    refused = await stage.call("PUT", "namespaces/company.team/kv/bytes", 400, content=b"\xff")

    assert "not UTF-8 text" in refused["message"]
    await stage.call("GET", "namespaces/company.team/kv/bytes", 404)


async def test_values_of_a_namespace_keep_their_type(stage: Stage) -> None:
    """JSON is JSON, a duration a duration, and anything else a text."""
    for key, body in (("a", '{"x": [1]}'), ("b", "PT1H"), ("c", "plain"), ("d", "42"), ("e", "2026-01-31")):
        await stage.call("PUT", f"namespaces/company.team/kv/{key}", content=body)

    types = [(await stage.call("GET", f"namespaces/company.team/kv/{key}"))["type"] for key in "abcde"]
    listed = await stage.call("GET", "namespaces/company.team/kv")

    assert ["JSON", "DURATION", "STRING", "NUMBER", "DATE"] == types
    assert list("abcde") == [each["key"] for each in listed]
    assert await stage.call("DELETE", "namespaces/company.team/kv/a") is True
    await stage.call("GET", "namespaces/company.team/kv/a", 404)
    await stage.call("PUT", "namespaces/company.team/kv/~", 422, content="x")


async def test_files_of_a_namespace(stage: Stage) -> None:
    """Put, list, read, move, delete; paths stay inside."""
    base = "namespaces/company.team/files"
    await stage.call("POST", f"{base}?path=/a/b.txt", files={"fileContent": ("b.txt", b"hello")})

    assert "hello" == await stage.call("GET", f"{base}?path=/a/b.txt")
    assert ["/a/b.txt"] == await stage.call("GET", f"{base}/search?q=b")
    assert ["b.txt"] == [each["fileName"] for each in await stage.call("GET", f"{base}/directory?path=/a")]
    await stage.call("PUT", f"{base}?from=/a/b.txt&to=/c.txt")
    await stage.call("GET", f"{base}?path=/a/b.txt", 404)
    await stage.call("GET", f"{base}?path=/../../x", 422)
    await stage.call("DELETE", f"{base}?path=/c.txt")
    await stage.call("DELETE", f"{base}?path=/c.txt", 404)


async def test_every_route_is_described(stage: Stage) -> None:
    """The OpenAPI document names the paths."""
    document = await stage.call("GET", "/api/docs/openapi.json")

    paths = {path.replace("{", "").replace("}", "") for path in document["paths"]}
    assert "/api/v1/executions/namespace/flow_id" in paths
    assert len(paths) > 100


async def test_what_nobody_foresaw_is_answered_without_details(stage: Stage) -> None:
    """A bug is logged; its text does not leave the server."""

    async def broken(*_: object) -> object:
        raise RuntimeError("private detail")

    stage.app.api.repository.search = broken

    response: httpx.Response = await stage.http.get("/api/v1/main/executions/search")

    assert 500 == response.status_code
    assert "private detail" not in response.text
