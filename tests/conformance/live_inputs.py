"""
Inputs as callers send them: parts of a request to a webserver, read back from the execution that it made.

What a case gives as a list of inputs becomes a flow with one task; what it gives as a value of Java is sent as a client
would send it, as text or as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conformance.corpus import Case, Folder
from tests.conformance.engine import Engine
from tests.conformance.equality import same
from tests.conformance.live_texts import deploy
from tests.conformance.paths import walk
from tests.conformance.result import NoProcess
from tests.conformance.steps_execute import form
from tests.conformance.validation import check_text, need
from tests.conformance.values import Upload, build
from tests.conformance.world import World
from tiercel.expression.encryption import is_sealed

FILE: Final = "inputs.yaml"
NAMESPACE: Final = "io.kestra.unittest"
EXECUTIONS: Final = "/api/v1/main/executions"
_LAST: Final = [{"id": "last", "type": "io.kestra.plugin.core.log.Log", "message": "-"}]


async def run_typing(engine: Engine, folder: Folder, case: Case) -> None:
    """Start an execution of the case's flow with its values, and read them back."""
    _only_defaults(case)
    body = case.body
    base = folder.data(FILE)["bases"].get(body.get("base")) or {}
    values = build({**base, **body.get("override", {})}, folder)
    for name in body.get("remove", []):
        values.pop(name, None)
    source = folder.text(body["flow"])
    await deploy(engine, source)
    flow = yaml.safe_load(source)
    await _started(engine, folder, f"{flow['namespace']}/{flow['id']}", values, body["expect"])


async def run_read(engine: Engine, folder: Folder, case: Case) -> None:
    """Start an execution of a flow with the case's inputs."""
    _only_defaults(case)
    await _deploy_inputs(engine, case)
    values = build(case.body["data"], folder)
    await _started(engine, folder, f"{NAMESPACE}/test", values, case.body["expect"])


async def _deploy_inputs(engine: Engine, case: Case) -> None:
    flow = {"id": "test", "namespace": NAMESPACE, "inputs": case.body["inputs"], "tasks": _LAST}
    await deploy(engine, yaml.safe_dump(flow, sort_keys=False))


def _only_defaults(case: Case) -> None:
    if "encryption_secret_key" in (case.body.get("config") or {}):
        raise NoProcess("it needs an installation of its own configuration")
    if case.body.get("setup"):
        raise NoProcess("it needs a store that gives one answer to every key")


async def _started(engine: Engine, folder: Folder, name: str, values: Any, expect: Mapping[str, Any]) -> None:
    response = await engine.http.post(f"{EXECUTIONS}/{name}", **_named_files(form(values), values))
    if "error" in expect:
        need(response.status_code == 422, f"accepted with {response.status_code}")
        _check_error(expect["error"], response.json())
        return
    need(response.status_code == 200, f"refused with {response.status_code}: {response.text[:500]}")
    answer = response.json()
    found = _renamed(answer.get("inputs") or {}, answer["id"])
    for path, wanted in (expect.get("values") or {}).items():
        value, typed = walk(found, path), build(wanted, folder)
        need(same(value, typed), f"{path} is {value!r}, not {typed!r}")
    for path, unwanted in (expect.get("not_equal") or {}).items():
        need(walk(found, path) != unwanted, f"{path} is {unwanted!r}")
    for path in (*expect.get("not_null", ()), *expect.get("has_keys", ())):
        need(path in found or walk(found, path) is not None, f"there is no {path!r}")
    for path in expect.get("encrypted", ()):
        need(is_sealed(walk(found, path)), f"{path} is {walk(found, path)!r}")
    for path, file in (expect.get("stored_file_equals") or {}).items():
        content = await engine.storage.read(engine.tenant, str(walk(answer["inputs"], path)))
        need(content == (folder.path / file).read_bytes(), f"{path} holds something else")


def _named_files(fields: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts with files under the names of their inputs, and with their own names, as 2.0 sends them."""
    return {
        name: [_named_file(part, values) for part in parts] if name == "files" else parts
        for name, parts in fields.items()
    }


def _named_file(part: Any, values: Mapping[str, Any]) -> Any:
    name, content = part
    if name != "files":
        return part
    value = values[content[0]]
    file_name = value.filename if isinstance(value, Upload) else Path(value).name
    return content[0], (file_name, *content[1:])


def _renamed(value: Any, execution_id: str) -> Any:
    """Return values in which the execution is called as the cases call it."""
    match value:
        case str():
            return value.replace(f"/executions/{execution_id}/", "/executions/test/")
        case dict():
            return {key: _renamed(item, execution_id) for key, item in value.items()}
        case list():
            return [_renamed(item, execution_id) for item in value]
        case _:
            return value


def _check_error(expect: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    said = [each["message"] for each in answer.get("_embedded", {}).get("errors", ())] or [answer["message"]]
    check_text(expect, "\n".join(said))


async def run_resolve(engine: Engine, folder: Folder, case: Case) -> None:
    """Have the case's values judged before an execution is made."""
    _only_defaults(case)
    body = case.body
    await _deploy_inputs(engine, case)
    data = build(body["data"], folder)
    if any(isinstance(value, str) and Path(value).is_absolute() for value in data.values()):
        raise NoProcess("a file is named by its path on a disk")
    found = await _judged(engine, f"{NAMESPACE}/test", data)
    need(len(found) == len(body["expect"]), f"{len(found)} results, not {len(body['expect'])}")
    by_id = {each["input"]["id"]: each for each in found}
    need(
        body.get("unordered") or [*by_id] == [each["id"] for each in body["expect"]],
        f"the inputs are {[*by_id]}",
    )
    for expect in body["expect"]:
        _check_resolved(by_id[expect["id"]], expect, folder)


def _check_resolved(found: Mapping[str, Any], expect: Mapping[str, Any], folder: Folder) -> None:
    name, wanted = expect["id"], build(expect.get("value"), folder)
    # A secret that is only looked at is masked.
    if "value" in expect and found["input"]["type"] != "SECRET":
        need(same(found["value"], wanted), f"{name} is {found['value']!r}, not {wanted!r}")
    for key, shown in (("enabled", "enabled"), ("is_default", "isDefault")):
        if key in expect:
            need(found[shown] is expect[key], f"{shown} of {name} is {found[shown]}")
    said = "\n".join(each["message"] for each in found["errors"])
    if "error" in expect:
        need(bool(said) is (expect["error"] is not None), f"{name} says {said!r}")
        if isinstance(expect["error"], dict) and "contains" in expect["error"]:
            need(expect["error"]["contains"] in said, f"{name} says {said!r}")


async def _judged(engine: Engine, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    response = await engine.http.post(f"{EXECUTIONS}/{name}/validate", **form(values))
    need(response.status_code == 200, f"the status is {response.status_code}: {response.text[:500]}")
    answer = response.json()
    return list(answer["inputs"] if isinstance(answer, dict) else answer)


async def run_api(engine: Engine, folder: Folder, case: Case) -> None:
    """Have inputs of a flow judged, as the case does."""
    body, expect = case.body, case.body["expect"]
    source = folder.text(body["flow"])
    await deploy(engine, source)
    flow = yaml.safe_load(source)
    need(flow["id"] == expect["id"], f"the flow is {flow['id']}")
    found = await _judged(engine, f"{flow['namespace']}/{flow['id']}", build(body["inputs"], folder))
    need(bool(found), "there are no inputs")
    need(all(each["enabled"] for each in found), "not all inputs are enabled")


async def run_outputs(engine: Engine, folder: Folder, case: Case) -> None:
    """Run a flow whose outputs are the case's values to its end."""
    _only_defaults(case)
    body, expect = case.body, case.body["expect"]
    values = body["values"]
    if any(str(value).startswith("{'$") for value in values.values()):
        raise NoProcess("its values are objects of Java, which no expression of a flow makes")
    outputs = [{**each, "value": values.get(each["id"])} for each in body["outputs"]]
    flow = {"id": "test", "namespace": NAMESPACE, "outputs": outputs, "tasks": _LAST}
    await deploy(engine, yaml.safe_dump(flow, sort_keys=False))
    response = await engine.http.post(f"{EXECUTIONS}/{NAMESPACE}/test")
    need(response.status_code == 200, f"refused with {response.status_code}: {response.text[:500]}")
    found = await World(case, folder, engine).wait_ended(response.json()["id"])
    if "error" in expect:
        need(found.state == "FAILED", f"the outputs are accepted: {found.execution.outputs}")
        return
    need(found.state == "SUCCESS", found.summary())
    for path, wanted in (expect.get("values") or {}).items():
        value, typed = walk(found.execution.outputs, path), build(wanted, folder)
        need(same(value, typed), f"{path} is {value!r}, not {typed!r}")
