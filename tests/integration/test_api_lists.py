"""Lists and searches of the API on adapters in memory: what they find, and in which form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.api_stage import Stage
from tiercel.messages.history import LogBatch
from tiercel.model.execution import LogEntry
from tiercel.repository.base import HistoryBatch

FLOW = """id: {id}
namespace: {namespace}
labels: {{team: {team}}}
tasks:
- {{id: say, type: io.kestra.plugin.core.log.Log, message: "hello {id}"}}
"""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, variables_globals={"region": "eu"})
    for name, namespace, team in (("one", "prod", "x"), ("two", "prod.sub", "y"), ("three", "dev", "x")):
        await stage.call("POST", "flows", content=FLOW.format(id=name, namespace=namespace, team=team))
    yield stage
    await stage.close()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("namespace=prod", ["one", "two"]),
        ("filters[namespace][EQUALS]=prod", ["one"]),
        ("filters[namespace][PREFIX]=prod", ["one", "two"]),
        ("filters[namespace][NOT_EQUALS]=prod", ["three", "two"]),
        ("filters[namespace][IN]=prod,dev", ["one", "three"]),
        ("filters[namespace][ENDS_WITH]=.sub", ["two"]),
        ("filters[flowId][EQUALS]=o", []),
        ("filters[flowId][REGEX]=^t", ["three", "two"]),
        ("filters[labels][EQUALS][team]=x", ["one", "three"]),
        ("filters[labels][EQUALS][team]=y&filters[labels][EQUALS][team]=x", []),
        ("filters[labels][NOT_EQUALS][team]=x", ["two"]),
        ("filters[q][EQUALS]=thr", ["three"]),
        ("filters[q][EQUALS]=*", ["one", "three", "two"]),
        ("filters[q][NOT_EQUALS]=thr", ["one", "two"]),
        ("filters[scope][EQUALS]=SYSTEM", []),
    ],
)
async def test_a_filter_of_flows_is_never_passed_over(stage: Stage, filters: str, expected: list[str]) -> None:
    """Each operation finds what it says; a bulk request changes these flows and no others."""
    found = await stage.call("GET", f"flows/search?{filters}")

    assert expected == sorted(flow["id"] for flow in found["results"])
    assert len(expected) == found["total"]


async def test_flows_that_do_not_match_survive_a_deletion_by_query(stage: Stage) -> None:
    """What a negative filter names stays."""
    answer = await stage.call("DELETE", "flows/delete/by-query?filters[namespace][NOT_EQUALS]=prod")

    assert {"count": 2} == answer
    assert ["one"] == [flow["id"] for flow in (await stage.call("GET", "flows/search"))["results"]]


async def test_pages_of_filtered_flows_follow_one_another(stage: Stage) -> None:
    """A page holds its part of what the filters leave."""
    pages = [
        await stage.call("GET", f"flows/search?filters[namespace][STARTS_WITH]=prod&sort=id:desc&size=1&page={number}")
        for number in (1, 2, 3)
    ]

    assert [["two"], ["one"], []] == [[flow["id"] for flow in page["results"]] for page in pages]
    assert {2} == {page["total"] for page in pages}


async def test_texts_of_flows_are_searched(stage: Stage) -> None:
    """The lines that hold the words are shown, with the words marked."""
    found = await stage.call("GET", "flows/source?q=Hello%20T&size=1")

    assert 2 == found["total"]
    assert "three" == found["results"][0]["model"]["id"]
    assert "[mark]hello t[/mark]hree" in found["results"][0]["fragments"][0]


async def test_flows_with_older_names_are_listed(stage: Stage) -> None:
    """Each with the places where it uses them."""
    old = "id: old\nnamespace: dev\ntasks:\n- {id: a, type: io.kestra.core.tasks.log.Log, message: a}\n"
    await stage.call("POST", "flows", content=old)

    (found,) = await stage.call("GET", "flows/deprecated")

    assert ("old", "io.kestra.plugin.core.log.Log") == (found["id"], found["relocations"][0]["to"])
    assert [] == await stage.call("GET", "flows/deprecated?namespace=prod")


async def test_the_validation_warns_of_subflows_that_are_not_there(stage: Stage) -> None:
    """They may come later; those of the same text come with it, and expressions may name any."""
    await stage.call("POST", "flows", content=FLOW.format(id="off", namespace="dev", team="x") + "disabled: true\n")
    called = [("prod", "one"), ("prod", "none"), ("dev", "off"), ("dev", "both"), ("dev", "'{{ x }}'")]
    calls = "".join(
        f"- {{id: t{at}, type: io.kestra.plugin.core.flow.Subflow, namespace: {namespace}, flowId: {name}}}\n"
        for at, (namespace, name) in enumerate(called)
    )
    text = FLOW.format(id="both", namespace="dev", team="x")

    judged = await stage.call("POST", "flows/validate", content=f"id: a\nnamespace: dev\ntasks:\n{calls}---\n{text}")

    assert [
        "The subflow 'none' not found in namespace 'prod'.",
        "The subflow 'off' is disabled in namespace 'dev'.",
    ] == judged[0]["warnings"]
    assert [5, 6] == [place["line"] for place in judged[0]["warningPlaces"]]
    assert [] == judged[1]["warnings"]


async def test_lists_are_spreadsheets_in_which_nothing_is_a_formula(stage: Stage) -> None:
    """A description that begins as a formula does is a text for the program that opens it."""
    text = FLOW.format(id="four", namespace="dev", team="z") + 'description: "=1+1"\n'
    await stage.call("POST", "flows", content=text)

    rows = (await stage.call("GET", "flows/export/by-query/csv?filters[flowId][EQUALS]=four")).splitlines()
    triggers = await stage.call("GET", "triggers/export/by-query/csv")

    assert "id,namespace,revision,disabled,description,labels,updated" == rows[0]
    assert rows[1].startswith("four,dev,1,false,'=1+1,team:z,")
    assert triggers.startswith("namespace,flowId,triggerId,")


async def test_names_of_secrets_are_listed(stage: Stage) -> None:
    """Each namespace with flows has the secrets of the environment; their values are not told."""
    found = await stage.call("GET", "secrets?size=2")

    assert [{"namespace": "dev", "key": "KEY"}, {"namespace": "prod", "key": "KEY"}] == found["results"]
    assert 3 == found["total"]


async def test_expressions_are_shown_without_asking_the_world(stage: Stage) -> None:
    """Functions that compute are called, a secret shows its name, and a text that needs more stays as it is."""
    texts = ["{{ flow.id | upper }}", "{{ secret('K') }}!", "{{ kv('k') }} {{ flow.id }}", "{{ globals.region }}", "a"]

    body = {"expressions": texts, "namespace": "prod", "flowId": "one"}
    found = await stage.call("POST", "expressions/render", json=body)
    of_text = await stage.call(
        "POST",
        "expressions/render",
        json={"expressions": ["{{ flow.id }}"], "flow": FLOW.format(id="new", namespace="x", team="y")},
    )

    assert ["ONE", "[secret: K]!", texts[2], "eu", "a"] == [found["rendered"][text] for text in texts]
    assert {"{{ flow.id }}": "new"} == of_text["rendered"]
    await stage.call("POST", "expressions/render", 404, json={**body, "flowId": "nobody"})
    await stage.call("POST", "expressions/render", 404, json={"expressions": ["a"], "executionId": "nobody"})
    await stage.call("POST", "expressions/render", 422, json={"expressions": []})
    await stage.call("POST", "expressions/render", 422, json={"expressions": ["a"] * 501})


async def test_the_language_tells_what_is_in_it(stage: Stage) -> None:
    """Functions come with the names of their arguments; what 2.0 took away is not among them."""
    functions = {each["name"]: each["arguments"] for each in await stage.call("GET", "/api/v1/pebble/functions")}
    filters = await stage.call("GET", "/api/v1/pebble/filters")

    assert ["key", "namespace", "errorOnMissing"] == functions["kv"]
    assert "json" not in functions
    assert "numberFormat" in filters


async def test_an_editor_learns_what_expressions_of_a_flow_can_name(stage: Stage) -> None:
    """Inputs, variables and labels of the text, and outputs of the tasks that stand before the one that is written."""
    text = FLOW.format(id="new", namespace="dev", team="x") + (
        "- {id: next, type: io.kestra.plugin.core.log.Log, message: a}\n"
        "inputs:\n- {id: number, type: INT}\nvariables: {place: here}\n"
    )

    whole = await stage.call("POST", "flows/expressions", content=text)
    of_task = await stage.call("POST", "flows/expressions?taskId=next", content=text)

    assert {"flow.id", "inputs.number", "vars.place", "labels.team", "outputs.say"} <= set(of_task["paths"])
    assert {"outputs.next"} == set(whole["paths"]) - set(of_task["paths"])
    assert "kv" in [each["name"] for each in whole["functions"]]
    await stage.call("POST", "flows/expressions?taskId=nobody", 404, content=text)


async def test_types_are_listed_whole_or_in_pages(stage: Stage) -> None:
    """A page is asked for by its number or its size."""
    whole = await stage.call("GET", "/api/v1/plugins")
    page = await stage.call("GET", "/api/v1/plugins?page=2&size=1")

    assert ([whole[1]], len(whole)) == (page["results"], page["total"])
    assert whole == await stage.call("GET", "/api/v1/plugins/groups/subgroups")
    triggers = await stage.call("GET", "/api/v1/plugins/triggers")
    assert "io.kestra.plugin.core.trigger.Schedule" in [each["cls"] for each in triggers["results"]]


async def test_lines_of_a_wide_execution_come_in_parts(stage: Stage) -> None:
    """An answer that does not hold all lines names the address of those that follow, with the same filters."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lines = tuple(
        LogEntry(
            tenant_id="main",
            namespace="prod",
            flow_id="one",
            execution_id="wide",
            timestamp=start + timedelta(seconds=number),
            level="INFO",
            message=str(number),
        )
        for number in range(5)
    )
    await stage.repository.write(HistoryBatch(logs=[LogBatch(producer="test", sequence=1, entries=lines)]))

    told: list[str] = []
    address: str | None = "/api/v1/main/logs/wide?size=2&minLevel=INFO"
    while address is not None:
        response = await stage.http.get(address)
        told += [line["message"] for line in response.json()]
        address = response.headers["link"].partition(">")[0][1:] if "link" in response.headers else None

    download = await stage.http.get("/api/v1/main/logs/wide/download")
    assert "text/plain; charset=utf-8" == download.headers["content-type"]
    assert 5 == len(download.text.splitlines())
    assert ["0", "1", "2", "3", "4"] == told
    await stage.call("DELETE", "logs/wide")
    assert [] == await stage.call("GET", "logs/wide")


async def test_metrics_are_summed_up_to_the_first_instant_there_is(stage: Stage) -> None:
    """What is summed up when no beginning is named cannot begin before all dates."""
    found = await stage.call("GET", "metrics/aggregates/company.team/f/rows?endDate=0001-01-01T00:00:00Z")

    assert [] == found["aggregations"]
