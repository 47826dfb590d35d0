"""The API with an executor and an indexer behind it: commands and their effects, live streams, lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from amazon.ion import simpleion

from tests.integration.api_stage import Stage, running
from tests.patience import until

PAUSE = """
id: paused
namespace: company.team
tasks:
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
    onResume:
      - id: reason
        type: STRING
"""
QUICK = """
id: quick
namespace: company.team
inputs:
  - {id: name, type: STRING, defaults: world}
variables: {greeting: hello}
tasks:
  - id: group
    type: io.kestra.plugin.core.flow.Sequential
    tasks:
      - id: label
        type: io.kestra.plugin.core.execution.Labels
        labels: {done: "yes"}
"""
FAILING = """
id: failing
namespace: company.team
tasks:
  - id: choice
    type: io.kestra.plugin.core.flow.If
    condition: "{{ missing }}"
    then: [{id: never, type: io.kestra.plugin.core.log.Log, message: never}]
"""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, follow_wait_s=0.05)
    async with running(stage):
        for flow in (PAUSE, QUICK, FAILING):
            await stage.call("POST", "flows", content=flow)
        yield stage
    await stage.close()


async def started(stage: Stage, flow: str = "paused") -> str:
    """Start an execution, wait until it rests, return its id."""
    answer = await stage.call("POST", f"executions/company.team/{flow}?wait=true")
    return str(answer["id"])


async def listed(stage: Stage, query: str, count: int) -> dict[str, Any]:
    """Return a list as soon as it has so many members: lists come through the indexer."""

    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = await stage.call("GET", f"executions/search?{query}")
        return found if found["total"] == count else None

    return await until(look, f"a list of {count} for '{query}'", every_s=0)


async def streamed(stage: Stage, path: str) -> list[tuple[str, Any]]:
    text = await stage.call("GET", path)
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [(block["id"], json.loads(block["data"])) for block in blocks if "id" in block]


async def test_waiting_ends_when_the_execution_rests(stage: Stage) -> None:
    """The answer is the execution then, with its task runs."""
    ended = await stage.call("POST", "executions/company.team/quick?wait=true")
    paused = await stage.call("POST", "executions/company.team/paused?wait=true")

    assert ("SUCCESS", "PAUSED") == (ended["state"]["current"], paused["state"]["current"])
    assert ["group", "label"] == [run["taskId"] for run in ended["taskRunList"]]
    assert ended["taskRunList"][0]["id"] == ended["taskRunList"][1]["parentTaskRunId"]


async def test_a_paused_execution_is_resumed_with_inputs(stage: Stage) -> None:
    """What the pause asks for is checked first; afterwards the command makes no sense any more."""
    execution_id = await started(stage)
    path = f"executions/{execution_id}/actions/resume"

    judged = await stage.call("POST", f"{path}/validate")
    await stage.call("POST", path, 422)
    await stage.call("POST", path, files={"reason": (None, "because")})
    refused = await stage.call("POST", path, 409)

    ended = await stage.call("GET", f"executions/{execution_id}")
    assert ["Missing required input:reason"] == [error["message"] for error in judged["inputs"][0]["errors"]]
    assert "expected PAUSED" in refused["message"]
    assert "SUCCESS" == ended["state"]["current"]
    assert {"reason": "because"} == ended["taskRunList"][0]["outputs"]["onResume"]


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b'{"asked": "x"}', {"content-type": "application/json"}),
        (b"asked=x", {"content-type": "application/x-www-form-urlencoded"}),
        (b"asked", {}),
        (
            b'--b\r\ncontent-disposition: form-data; name="asked"\r\n\r\nx',
            {"content-type": "multipart/form-data; boundary=b"},
        ),
    ],
)
async def test_inputs_that_would_be_lost_create_nothing(stage: Stage, content: bytes, headers: dict[str, str]) -> None:
    """Inputs come as parts of a whole form; an empty object is what some clients send for none."""
    log = "{id: t, type: io.kestra.plugin.core.log.Log, message: hi}"
    await stage.call(
        "POST",
        "flows",
        content=f"id: f\nnamespace: demo\ninputs: [{{id: asked, type: STRING, required: false}}]\ntasks: [{log}]\n",
    )

    for path in ("executions/demo/f", "executions/demo/f/validate"):
        refused = await stage.call("POST", path, 422, content=content, headers=headers)
        assert "multipart" in refused["message"]

    assert [] == await stage.events()
    await stage.call("POST", "executions/demo/f", json={})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "executions/by-ids", ["a\0"]),
        ("POST", "executions/latest", [{"namespace": "a\0", "id": "b"}]),
        ("POST", "executions/purge", {"namespace": "a\0"}),
        ("PUT", "triggers", {"namespace": "demo", "flowId": "f", "triggerId": "a\0"}),
        ("POST", "flows/disable/by-ids", [{"namespace": "a\0", "id": "b"}]),
    ],
)
async def test_nul_in_a_body_of_names_is_refused(stage: Stage, method: str, path: str, body: Any) -> None:
    """PostgreSQL takes it in no text; what is written of it (backslash, u, zeros) is a name as any other."""
    refused = await stage.call(method, path, 400, json=body)

    assert "contains the character NUL" in refused["message"]
    assert "NUL" not in (await stage.call("DELETE", "executions/by-ids", 400, json=["a\\u0000"]))["message"]


async def test_a_killed_execution_refuses_what_comes_later(stage: Stage) -> None:
    """Kill, restart, change of status: each answer names the state."""
    execution_id = await started(stage)

    killed = await stage.call("DELETE", f"executions/{execution_id}/actions/kill")
    again = await stage.call("DELETE", f"executions/{execution_id}/actions/kill", 409)
    restarted = await stage.call("POST", f"executions/{execution_id}/actions/restart", 409)
    changed = await stage.call("POST", f"executions/{execution_id}/actions/change-status?status=WARNING", 409)
    bulk = await stage.call("POST", "executions/restart/by-ids", 400, json=[execution_id, "unknown"])

    assert killed["state"]["current"] in ("KILLING", "KILLED")
    assert "has ended already" in again["message"]
    assert "current state is 'KILLED', expected terminated or paused." in restarted["message"]
    assert "must be terminated and not killed" in changed["message"]
    assert "invalid bulk restart" == bulk["message"]
    assert {execution_id, "unknown"} == {each["invalidValue"] for each in bulk["invalids"]}


async def test_the_older_form_answers_as_it_did(stage: Stage) -> None:
    """Paths without a tenant: bulk requests count, a kill is accepted."""
    one, two = await started(stage), await started(stage)

    killed = await stage.call("DELETE", f"/api/v1/executions/{one}/kill", 202)
    counted = await stage.call("DELETE", "/api/v1/executions/kill/by-ids", json=[two])
    newer = await stage.call("DELETE", "executions/kill/by-ids", 202, json=[await started(stage)])

    assert one == killed["id"]
    assert {"count": 1} == counted
    assert (1, True) == (newer["totalItems"], bool(newer["operationId"]))


async def test_status_and_labels_are_changed_by_hand(stage: Stage) -> None:
    """The answer shows the change; labels of the system stay."""
    execution_id = await started(stage, "quick")
    path = f"executions/{execution_id}/actions"

    changed = await stage.call("POST", f"{path}/change-status?status=WARNING")
    labelled = await stage.call("POST", f"{path}/labels", json=[{"key": "a", "value": "b"}])
    refused = await stage.call("POST", f"{path}/labels", 422, json=[{"key": "system.x", "value": "b"}])
    await stage.call("POST", f"{path}/labels", 422, json=[{"key": None, "value": None}])

    assert "WARNING" == changed["state"]["current"]
    assert "offending label: system.x=b" in refused["message"]
    keys = {label["key"] for label in labelled["labels"]}
    assert {"a", "system.correlationId"} <= keys
    assert "done" not in keys


async def test_labels_are_not_set_while_an_execution_goes_on(stage: Stage) -> None:
    """As in Kestra: what has not ended refuses them, one by one and many at a time."""
    execution_id = await started(stage)
    labels = [{"key": "a", "value": "b"}]

    one = await stage.call("POST", f"executions/{execution_id}/actions/labels", 409, json=labels)
    body = {"executionsId": [execution_id], "executionLabels": labels}
    many = await stage.call("POST", "executions/labels/by-ids", 400, json=body)

    assert "expected terminated" in one["message"]
    assert ["execution is not terminated, current state is 'PAUSED'"] == [each["message"] for each in many["invalids"]]


async def test_a_replay_is_a_new_execution(stage: Stage) -> None:
    """It has its own id, the original as parent, and a label on both."""
    execution_id = await started(stage, "quick")

    replayed = await stage.call("POST", f"executions/{execution_id}/actions/replay")
    unknown = await stage.call("POST", f"executions/{execution_id}/actions/replay?taskRunId=none", 422)

    assert execution_id == replayed["parentId"] != replayed["id"]
    assert {"key": "system.replay", "value": "true"} in replayed["labels"]
    assert "Task run id 'none' not found in execution" in unknown["message"]
    found = await listed(stage, "filters[parentId][EQUALS]=" + execution_id, 1)
    assert replayed["id"] == found["results"][0]["id"]


async def test_a_deleted_execution_is_gone_everywhere(stage: Stage) -> None:
    """From the state store, and from lists."""
    execution_id = await started(stage, "quick")
    running_id = await started(stage)
    await listed(stage, "flowId=quick", 1)

    refused = await stage.call("DELETE", f"executions/{running_id}", 409)
    await stage.call("DELETE", f"executions/{execution_id}", 204)

    assert "expected terminated" in refused["message"]
    await stage.call("GET", f"executions/{execution_id}", 404)
    await listed(stage, "flowId=quick", 0)


async def test_logs_of_a_deleted_execution_may_stay(stage: Stage) -> None:
    """`deleteLogs=false` keeps them; without a word they go too."""
    kept, gone = await started(stage, "failing"), await started(stage, "failing")
    for execution_id in (kept, gone):
        await until(lambda id_=execution_id: stage.call("GET", f"logs/{id_}"), f"lines of '{execution_id}'", every_s=0)

    await stage.call("DELETE", f"executions/{kept}?deleteLogs=false", 204)
    await stage.call("DELETE", f"executions/{gone}", 204)

    await listed(stage, "flowId=failing", 0)
    found = (await stage.call("GET", "logs/search?filters[flowId][EQUALS]=failing&size=100"))["results"]
    assert {kept} == {line["executionId"] for line in found}


async def test_a_running_execution_is_deleted_when_that_is_said(stage: Stage) -> None:
    """It is killed without waiting; without the word nothing happens."""
    execution_id = await started(stage)

    await stage.call("DELETE", "executions/by-ids", 400, json=[execution_id])
    counted = await stage.call("DELETE", "executions/by-ids?includeNonTerminated=true", json=[execution_id])

    assert {"count": 1} == counted
    await stage.call("GET", f"executions/{execution_id}", 404)


async def test_following_ends_with_the_execution(stage: Stage) -> None:
    """`start`, `progress` at each change, `end`; one that has ended is told at once."""
    execution_id = await started(stage)
    stream = asyncio.create_task(streamed(stage, f"executions/{execution_id}/follow"))
    await asyncio.sleep(0)  # the request begins

    await stage.call("POST", f"executions/{execution_id}/actions/resume", files={"reason": (None, "x")})
    events = await stream
    again = await streamed(stage, f"executions/{execution_id}/follow")

    assert "start" == events[0][0]
    assert ("end", "SUCCESS") == (events[-1][0], events[-1][1]["state"]["current"])
    assert ["start", "end"] == [name for name, _ in again]
    assert "Not Found" in (await stage.call("GET", "executions/nothing/follow", 404))["message"]


async def test_expressions_of_an_execution_are_evaluated(stage: Stage) -> None:
    """With its inputs, variables, labels and task runs; a mistake is answered, secrets are masked."""
    execution_id = await started(stage, "quick")
    path = f"executions/{execution_id}/actions/eval"
    run = (await stage.call("GET", f"executions/{execution_id}"))["taskRunList"][1]

    found = await stage.call(
        "POST", path, content="{{ vars.greeting }} {{ inputs.name }} {{ labels.done }} {{ tasks | keys | length }}"
    )
    of_run = await stage.call("POST", f"{path}/{run['id']}", content="{{ taskrun.id }}")
    wrong = await stage.call("POST", path, content="{{ missing }}")
    secret = await stage.call("POST", path, content="{{ secret('KEY') }}")

    assert "hello world yes 2" == found["result"]
    assert run["id"] == of_run["result"]
    assert "Unable to find `missing`" in wrong["error"]
    assert "******" == secret["result"]


async def test_lists_are_searched_and_exported(stage: Stage) -> None:
    """By state, flow and label; without task runs."""
    execution_id = await started(stage, "quick")
    await started(stage)

    found = await listed(stage, "state=SUCCESS&labels=done:yes", 1)
    await listed(stage, "namespace=company", 2)
    table = await stage.call("GET", "executions/export/by-query/csv?flowId=quick")
    latest = await stage.call("POST", "executions/latest", json=[{"namespace": "company.team", "id": "quick"}])

    assert execution_id == found["results"][0]["id"] == latest[0]["id"]
    assert "taskRunList" not in found["results"][0]
    rows = table.splitlines()
    assert "id,namespace,flowId,flowRevision,state,startDate,endDate,duration,labels" == rows[0]
    assert rows[1].startswith(f"{execution_id},company.team,quick,1,SUCCESS,")


async def test_files_of_an_execution_are_shown_to_its_readers_only(stage: Stage) -> None:
    """Its own files, with size and preview; nothing else."""
    execution_id = await started(stage, "quick")
    folder = f"/company/team/quick/executions/{execution_id}"
    uri = await stage.storage.put("main", f"{folder}/tasks/x/y/data.txt", "grüße\nzwei\n".encode("latin-1"))
    path = f"executions/{execution_id}/file"

    assert {"size": 11} == await stage.call("GET", f"{path}/metas?path={uri}")
    preview = await stage.call("GET", f"{path}/preview?path={uri}&encoding=ISO-8859-1&maxRows=1")
    for encoding in ("foo", "hex", "undefined", "punycode"):
        await stage.call("GET", f"{path}/preview?path={uri}&encoding={encoding}", 422)
    await stage.call("GET", f"{path}?path={uri.replace(execution_id, 'another')}", 404)
    await stage.call("GET", f"{path}?path=kestra:///company/team/_kv/key.ion", 422)
    await stage.call("GET", f"{path}?path=file:///etc/passwd", 422)

    assert ("grüße\n", True, "txt") == (preview["content"], preview["truncated"], preview["extension"])


async def test_rows_of_an_ion_file_are_downloaded_as_lines_of_json(stage: Stage) -> None:
    """`format=JSONL` converts text and binary Ion; without it, or with RAW, the file comes as it is."""
    execution_id = await started(stage, "quick")
    folder = f"/company/team/quick/executions/{execution_id}/tasks/x/y"
    rows = b'{a:1,b:"x y",c:Instant::"2024-01-01T00:00:00Z"}\n{a:null,d:[1.5e0]}\n'
    text = await stage.storage.put("main", f"{folder}/rows.ion", rows)
    binary = await stage.storage.put("main", f"{folder}/binary.ion", simpleion.dumps({"a": 1}, binary=True))
    plain = await stage.storage.put("main", f"{folder}/plain.txt", b"{not ion")
    path = f"executions/{execution_id}/file"

    lines = await stage.call("GET", f"{path}?path={text}&format=JSONL")

    assert '{"a":1,"b":"x y","c":"2024-01-01T00:00:00Z"}\n{"a":null,"d":[1.5]}\n' == lines
    assert '{"a":1}\n' == await stage.call("GET", f"{path}?path={binary}&format=JSONL")
    assert rows.decode() == await stage.call("GET", f"{path}?path={text}&format=RAW")
    await stage.call("GET", f"{path}?path={plain}&format=JSONL", 422)
    await stage.call("GET", f"{path}?path={text}&format=CSV", 422)
