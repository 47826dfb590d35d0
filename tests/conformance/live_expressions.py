"""
Expressions as workers render them: each case is a flow of one task, whose variables the execution brings along.

Values travel as JSON between processes; a case that gives the engine an object of Java (a date, a single-precision
number) can only be tried where the object is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from tests.conformance.corpus import Case, Folder
from tests.conformance.engine import Engine
from tests.conformance.expression_world import HTTP_BASE
from tests.conformance.expression_world import World as Notation
from tests.conformance.expressions import check_value, dialect_of
from tests.conformance.live_texts import deploy
from tests.conformance.result import Mismatch, NoProcess
from tests.conformance.snapshot import Snapshot
from tests.conformance.validation import need
from tests.conformance.waiting import eventually
from tests.conformance.world import World
from tiercel.model import ids

NAMESPACE: Final = "io.kestra.unittest"
TASK: Final = {"id": "last", "type": "io.kestra.plugin.core.debug.Return"}
_OF_EXECUTION: Final = frozenset(
    {"envs", "globals", "inputs", "labels", "outputs", "parent", "parents", "secret", "task", "taskrun", "trigger"}
    | {"vars"}
)
"""Variables that every execution has of its own; those of the flow and of the execution are what they say."""
_ELSEWHERE: Final = {
    "v2.FileURIFunctionTest.fileURIFunctionWithExplicitVersion.uri": (
        "an earlier revision of a file has another address in Tiercel's storage than in Kestra's"
    ),
}
"""Cases of details that a user may see and that differ, with reasons."""
_NOTES: Final = frozenset({"random_namespace", "encrypt", "render", "run_context"})
"""Setups that only make names for the case's own texts."""


async def run(engine: Engine, folder: Folder, case: Case) -> None:
    """Render the case's template in a task of an execution."""
    body = case.body
    if case.id in _ELSEWHERE:
        raise NoProcess(_ELSEWHERE[case.id])
    _only_through_worker(body)
    notation = Notation(folder.path, folder.data("expressions.yaml"), body, dialect_of(body))
    for step in body.get("setup") or ():
        notation.set_up(step)
        for verb, given in step.items():
            await _set_up(engine, folder, verb, notation.filled(given))
    variables, expect = notation.filled(body.get("variables") or {}), notation.filled(body["expect"])
    variables = _to_stub(engine, variables)
    given, execution = variables.pop("flow", {}), variables.pop("execution", {})
    if "id" in execution and ids.instant_of(execution["id"]) is None:
        raise NoProcess("its execution has a name of its own")
    flow: dict[str, Any] = {"id": given.get("id", "test"), "namespace": given.get("namespace", NAMESPACE)}
    if dialect_of(body) == "1.x":
        flow["pluginDefaults"] = []  # gone in 2.0: a flow that has it is of the first dialect
    flow["tasks"] = [{**TASK, "format": _to_stub(engine, notation.filled(body["template"]))}]
    await deploy(engine, yaml.safe_dump(flow, sort_keys=False))
    found = await _executed(engine, World(case, folder, engine), flow, execution.get("id") or ids.new_id(), variables)
    if "error" in expect:
        need(found.state == "FAILED", f"no error, but {found.runs[0].outputs if found.runs else found.summary()}")
        await eventually(engine, lambda: _says(engine, found.id, expect["error"]))
        return
    if found.state != "SUCCESS":
        lines = [line.message for line in await engine.logs(found.id)]
        raise Mismatch(f"{found.summary()}: {lines}")
    value = (found.runs[0].outputs or {}).get("value")
    for key, wanted in expect.items():
        check_value(key, wanted, "" if value is None else value, expect)


async def _executed(
    engine: Engine, world: World, flow: Mapping[str, Any], execution_id: str, variables: dict[str, Any]
) -> Snapshot:
    await engine.start(flow["namespace"], flow["id"], execution_id, variables)
    return await world.wait_ended(execution_id)


def _to_stub(engine: Engine, value: Any) -> Any:
    """Return texts with the address of the stub that runs in place of the notation's own."""
    match value:
        case str():
            return value.replace(HTTP_BASE, engine.stub_url)
        case dict():
            return {key: _to_stub(engine, item) for key, item in value.items()}
        case list():
            return [_to_stub(engine, item) for item in value]
        case _:
            return value


async def _set_up(engine: Engine, folder: Folder, verb: str, given: Any) -> None:
    """Do to the installation what a step of the setup does to the notation's host."""
    match verb:
        case "put_namespace_file":
            content = str(given.get("content") or "").encode()
            path = f"/api/v1/main/namespaces/{given['namespace']}/files"
            query = {"path": "/" + given["path"].lstrip("/")}
            response = await engine.http.post(path, params=query, files={"fileContent": ("file", content)})
        case "set_kv":
            path = f"/api/v1/main/namespaces/{given['namespace']}/kv/{given['key']}"
            headers = {"content-type": "text/plain", **({"ttl": given["ttl"]} if "ttl" in given else {})}
            response = await engine.http.put(path, content=json.dumps(given["value"]).encode(), headers=headers)
        case "put_file":
            content = str(given.get("content") or "").encode()
            await engine.storage.put(engine.tenant, f"kestra://{given['path']}", content)
            return
        case "deploy":
            for file in given:
                await deploy(engine, folder.text(file))
            return
        case _:
            return
    need(response.status_code < 300, f"{verb} answers {response.status_code}: {response.text[:500]}")


def _only_through_worker(body: Mapping[str, Any]) -> None:
    if body.get("mode") is not None:
        raise NoProcess("it looks at a value before it becomes text")
    if body.get("config"):
        raise NoProcess("it needs an installation of its own configuration")
    known = _NOTES | {"put_namespace_file", "set_kv", "put_file", "deploy"}
    steps = [(verb, given) for step in body.get("setup") or () for verb, given in step.items()]
    if any(verb not in known for verb, _ in steps) or "expiration" in str(steps) or "ion_rows" in str(steps):
        raise NoProcess("it needs secrets, logs or files of a disk that only its host has")
    if "subflow(" in body["template"]:
        raise NoProcess("it calls where no flow is, or where inputs are asked for")
    if "$" in {key[0] for key in _keys(body.get("variables")) if key}:
        raise NoProcess("its variables are objects of Java")
    if not _OF_EXECUTION.isdisjoint(body.get("variables") or {}):
        raise NoProcess("its variables stand for those that an execution has of its own")


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [str(key) for key in value] + [key for item in value.values() for key in _keys(item)]
    return [key for item in value for key in _keys(item)] if isinstance(value, list) else []


async def _says(engine: Engine, execution_id: str, wanted: Mapping[str, Any]) -> None:
    lines = "\n".join(line.message for line in await engine.logs(execution_id))
    for key in ("message_equals", "message_contains", "message_starts_with"):
        parts = wanted.get(key, ())
        for part in [parts] if isinstance(parts, str) else parts:
            need(part in lines, f"{part!r} is not in {lines!r}")
