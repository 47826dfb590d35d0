"""Texts of flows before a webserver: judged as an editor has them judged, refused when they are saved, and drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpx
import msgspec
import yaml

from tests.conformance.corpus import Case, Folder
from tests.conformance.engine import Engine
from tests.conformance.graphs import compare_graph
from tests.conformance.result import Mismatch, NoProcess
from tests.conformance.stages import compare_documents
from tests.conformance.validation import check_problems, need
from tiercel.errors import Problem
from tiercel.flowspec.graph import FlowGraph
from tiercel.flowspec.parse import Report, parse_flow

FLOWS: Final = "/api/v1/main/flows"
YAML: Final = {"content-type": "application/x-yaml"}


async def deploy(engine: Engine, source: str) -> None:
    """Save a flow; raise Mismatch when it is refused."""
    response = await engine.http.post(FLOWS, content=source.encode(), headers=YAML)
    if response.status_code >= 300:
        raise Mismatch(f"the flow is refused with {response.status_code}: {response.text[:500]}")


async def run_flow(engine: Engine, folder: Folder, case: Case) -> None:
    """Have the text of a case judged, at the stage that it names."""
    body, expect = case.body, case.body["expect"]
    match body["stage"]:
        case "http_validate" | "cli_validate_local" | "http_validate_multipart":
            files = body["file"] if isinstance(body["file"], list) else [body["file"]]
            compare_documents([each for file in files for each in await _judged(engine, folder.text(file))], expect)
            if body["stage"] == "http_validate_multipart":
                parts = [("fileUpload", (file.split("/")[-1], folder.text(file).encode())) for file in files]
                compare_documents(_reports(await engine.http.post(f"{FLOWS}/validate", files=parts)), expect)
        case "http_validate_task" | "http_validate_trigger":
            await _fragment(engine, folder, body, expect)
        case "validate_update" | "http_update":
            await _update(engine, folder, case)
        case "parse_lenient":
            raise NoProcess("a reader of flows that are saved already; nothing asks it for a text")
        case stage:
            (report,) = await _judged(engine, source_of(folder, body))
            problems = list(report.problems)
            if "http_status" in expect:
                response = await engine.http.post(FLOWS, content=source_of(folder, body).encode(), headers=YAML)
                need(response.status_code == expect["http_status"], f"the status is {response.status_code}")
            check_problems(problems, {"invalid": True, **expect}, count=stage != "parse")


def source_of(folder: Folder, body: Mapping[str, Any]) -> str:
    """Return the text of a case's flow."""
    flow = body.get("flow")
    if flow is not None and not isinstance(flow, str):
        return yaml.safe_dump(flow, sort_keys=False)
    return str(flow or folder.text(body["file"]))


async def _judged(engine: Engine, source: str) -> list[Report]:
    return _reports(await engine.http.post(f"{FLOWS}/validate", content=source.encode(), headers=YAML))


def _reports(response: httpx.Response) -> list[Report]:
    """Read the answer back into the reports that it was made of."""
    need(response.status_code == 200, f"the validation answers {response.status_code}: {response.text[:500]}")
    return [_report(each) for each in response.json()]


def _report(answer: Mapping[str, Any]) -> Report:
    problems = tuple(_problems(answer.get("problems", ())))
    need(bool(problems) == ("constraints" in answer), f"constraints and problems differ: {answer}")
    named = {"id": answer.get("flow"), "namespace": answer.get("namespace")}
    stub = {**named, "tasks": [{"id": "t", "type": "io.kestra.plugin.core.log.Log", "message": "-"}]}
    return Report(
        flow=None if problems else parse_flow(yaml.safe_dump(stub)),
        problems=problems,
        deprecations=tuple(answer.get("deprecationPaths", ())),
        cautions=tuple(Problem("", sentence) for sentence in answer.get("warnings", ())),
        relocations=tuple(_relocation(info) for info in answer.get("infos", ())),
    )


def _relocation(info: str) -> tuple[str, str]:
    old, _, new = info.partition(" is replaced by ")
    return old, new


def _problems(listed: Iterable[Mapping[str, Any]]) -> Iterable[Problem]:
    for each in listed:
        yield Problem(each.get("path", ""), each["message"], each.get("line"), each.get("column"))


async def _fragment(engine: Engine, folder: Folder, body: Mapping[str, Any], expect: Mapping[str, Any]) -> None:
    kind = body["stage"].removeprefix("http_validate_")
    document = json.loads(folder.text(body["file"]))
    path = f"{FLOWS}/validate/{kind}" + ("?section=tasks" if kind == "task" else "")
    response = await engine.http.post(path, json=document)
    need(response.status_code == 200, f"the status is {response.status_code}: {response.text[:500]}")
    said = response.json().get("constraints")
    if "constraints" in expect and expect["constraints"] is None:
        need(said is None, f"refused: {said}")
        return
    for part in expect.get("contains", []):
        need(said is not None and _worded(part) in said, f"{part!r} is not in {said!r}")


def _worded(part: str) -> str:
    """Return a part of "path: P, message: M" as the answer writes it."""
    return part.partition("message: ")[2].strip() or part


async def _update(engine: Engine, folder: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    previous = folder.text(body["previous"])
    await deploy(engine, previous)
    named = yaml.safe_load(previous)
    path = f"{FLOWS}/{named['namespace']}/{named['id']}"
    response = await engine.http.put(path, content=source_of(folder, body).encode(), headers=YAML)
    if expect.get("valid") is True:
        need(response.status_code == 200, f"refused with {response.status_code}: {response.text[:500]}")
        return
    need(response.status_code == expect.get("http_status", 422), f"the status is {response.status_code}")
    problems = list(_problems(response.json().get("_embedded", {}).get("errors", ())))
    check_problems(problems, {"invalid": True, **expect})


async def run_graph(engine: Engine, folder: Folder, case: Case) -> None:
    """Have a flow drawn."""
    body, expect = case.body, case.body["expect"]
    if body.get("with_execution") or body.get("trigger_state"):
        raise NoProcess("task runs and triggers are laid over it as the case gives them")
    for path in body.get("other_flows", []):
        await deploy(engine, folder.text(path))
    source = folder.text(body["flow"])
    await deploy(engine, source)
    named = yaml.safe_load(source)
    query = {"subflows": ",".join(body["expanded"])} if body.get("expanded") else {}
    response = await engine.http.get(f"{FLOWS}/{named['namespace']}/{named['id']}/graph", params=query)
    if "error" in expect:
        wanted = expect["error"].get("equals", "")
        need(response.status_code == 422 and wanted in response.text, f"{response.status_code}: {response.text[:500]}")
        return
    need(response.status_code == 200, f"the status is {response.status_code}: {response.text[:500]}")
    compare_graph(msgspec.convert(response.json(), FlowGraph), expect)
