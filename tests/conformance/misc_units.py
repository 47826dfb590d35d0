"""Sections of `misc.yaml` about single functions: paths, hashes, patterns, encryption, masks, Ion."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, time
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec

from tests.conformance.corpus import Case, Folder
from tests.conformance.equality import same
from tests.conformance.expression_world import World
from tests.conformance.interpolation import Names
from tests.conformance.problems import check_text
from tests.conformance.result import LeftOut, Mismatch, only
from tests.conformance.task_expect import check_logs, check_metrics
from tests.conformance.values import build, duration
from tiercel.errors import NotFound
from tiercel.expression import Engine, Renderer, ion
from tiercel.expression.nesting import nested
from tiercel.flowspec.defaults import deep_merge, read_outer
from tiercel.model import ids
from tiercel.plugins.core.state.state import state_key
from tiercel.plugins.core.storage.rows import ion_rows, write_row
from tiercel.runtime.kestra_settings import translate
from tiercel.secrets.encryption import Encryption
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage import uris
from tiercel.storage.hashing import murmur3
from tiercel.storage.local import LocalStorage
from tiercel.storage.patterns import PathPatterns
from tiercel.worker.core.masking import Mask
from tiercel.worker.single import Bench


def claim(found: Any, expected: Any, what: str) -> None:
    """Raise Mismatch unless a value is the expected one."""
    if not same(found, expected):
        raise Mismatch(f"{what} is {found!r}, expected {expected!r}")


def made(case: Case, key: str) -> Any:
    """Return a part of a case with its `${…}` and typed values made."""
    return build(Names(datetime.now(UTC)).fill(case.body[key]), Folder(case.folder))


async def storage_uri(case: Case, base: Path) -> None:
    """Where files of flows, executions and tasks lie."""
    given = case.body["context"]
    namespace, flow, execution = (given.get(key, "") for key in ("namespace", "flowId", "executionId"))
    paths = {
        "flow": uris.flow(namespace, flow),
        "execution": uris.execution(namespace, flow, execution),
        "namespace_files": uris.namespace_files(namespace),
        "cache": uris.cache(namespace, flow, given.get("taskId", ""), given.get("value")),
        "context": _context(given),
        "trigger": uris.trigger(namespace, flow, execution, given.get("triggerId", "")),
        "task": uris.task(namespace, flow, execution, given.get("taskId", ""), given.get("taskRunId", "")),
        "kv": uris.key_values(namespace),
    }
    for name, expected in case.body["expect"].items():
        only([name.partition(" ")[0]], paths, "the place")
        if "scheme" in name:
            claim(uris.uri(paths[name.partition(" ")[0]]), expected, name)
        else:
            # Java writes the path of a URI without a scheme with three slashes.
            claim(paths[name], "/" + expected.lstrip("/"), name)


def _context(given: dict[str, Any]) -> str:
    place = (given.get("namespace", ""), given.get("flowId", ""), given.get("executionId", ""))
    if "taskRunId" in given:
        return uris.task(*place, given["taskId"], given["taskRunId"])
    if "triggerId" in given:
        return uris.trigger(*place, given["triggerId"])
    return uris.execution(*place)


async def hashing(case: Case, base: Path) -> None:
    """The hash in the path of a cache."""
    if not isinstance(case.body["expect"], str):
        first = bytes.fromhex(murmur3(case.body["input"]))[:8]
        claim(int.from_bytes(first, "little", signed=True), case.body["expect"], "hash")
        return
    claim(murmur3(case.body["input"]), case.body["expect"], "hash")


async def path_matching(case: Case, base: Path) -> None:
    """Globs of paths."""
    body = case.body
    patterns = PathPatterns(body["patterns"], body.get("excludes", ()), base=body.get("base"))
    expected = body["expect"]
    if "compiled" in expected:
        claim(list(patterns.compiled), expected["compiled"], "compiled")
    if "matched" in expected:
        claim([path for path in body["paths"] if patterns.match(path)], expected["matched"], "matched")


async def slugify(case: Case, base: Path) -> None:
    """Ids in paths."""
    claim(uris.slug(case.body["input"]), case.body["expect"], "slug")


async def encryption(case: Case, base: Path) -> None:
    """Encryption with the installation's key."""
    cipher = Encryption(case.body["key"])
    if "text" not in case.body:
        for call, expected in case.body["expect"].items():
            action = cipher.encrypt if call.startswith("encrypt") else cipher.decrypt
            claim(action(json.loads(call.partition("(")[2].rstrip(")"))), expected, call)
        return
    text = case.body["text"]
    encrypted = cipher.encrypt(text)
    only(case.body["expect"], ("round_trip", "cipher_differs_from_text"), "the claim on a cipher")
    claim(cipher.decrypt(encrypted), text, "decrypted")
    claim(encrypted == text, False, "cipher equals text")


async def log_masking(case: Case, base: Path) -> None:
    """Secrets in logs."""
    body = case.body
    environment = {**os.environ, **(body.get("config") or {}).get("env", {})}
    bench = Bench(LocalStorage(base, durable=False), environment=environment)
    if "rendered_log" in body:
        task = {"id": "one", "type": "io.kestra.plugin.core.log.Log", "message": body["rendered_log"]}
        check_logs((await bench.run(task, {"flow": {"namespace": "company", "id": "flow"}})).logs, body["expect"])
        return
    mask = Mask()
    for secret in body.get("used_secrets", ()):
        mask.add(secret)
    context = bench.context({})
    for line in body["log"]:
        context.log(line["level"], mask.apply(line["message"]))
        if "exception" in line:
            context.log("TRACE", mask.apply(line["exception"]))
    for found, expected in zip(bench.logs, body["expect"], strict=True):
        check_logs([found], [expected])


async def metrics(case: Case, base: Path) -> None:
    """Measurements of the same name and tags are added up."""
    context = Bench(LocalStorage(base, durable=False)).context({})
    for one in case.body["emit"]:
        tags = one.get("tags", {})
        if "counter" in one:
            context.counter(one["counter"], one["value"], **tags)
        elif "gauge" in one:
            context.gauge(one["gauge"], one["value"], **tags)
        else:
            context.timer(one["timer"], duration(one["value"]).total_seconds(), **tags)
    wanted = [
        {"name": one.get("counter") or one.get("timer") or one.get("gauge"), "value": one["value"]}
        for one in case.body["expect"]
    ]
    check_metrics(context.metrics.snapshot(), wanted)


async def ion_file(case: Case, base: Path) -> None:
    """Values in Ion, and files of rows."""
    body = case.body
    if "round_trip" in body:
        value = made(case, "round_trip")
        (found,) = ion.loads(ion.dumps(value).encode())
        expected = made(case, "expect")
        claim(found, expected, "value")
        if not isinstance(expected["key"], datetime | date | time):
            return
        claim(type(found["key"]).__name__, type(expected["key"]).__name__, "type")
    elif "lines" in body or "rows" in body:
        await _rows(case, base)
    else:
        _mapped(case)


def _mapped(case: Case) -> None:
    """Objects as Ion and as JSON, through the filters and functions of expressions."""
    expected, renderer = case.body["expect"], Renderer(Engine(), World(Path(), {}, {}, "1.x"))
    if "json" in case.body:
        found = renderer.render_typed("{{ fromJson(text) }}", {"text": case.body["json"]})
        claim(sorted(found), sorted(expected["items_in_any_order"]), "the list")
        return
    value = made(case, "object")
    if "ion_contains" in expected:
        text = ion.dumps(value)
        claim(expected["ion_contains"] in text, True, f"'{expected['ion_contains']}' is in {text}")
        (found,) = ion.loads(text)
        claim(found, value, "the object read back")
        return
    text = renderer.render("{{ value | toJson }}", {"value": value})
    claim(_typed_like(msgspec.json.decode(text), value), value, "the object read back")


def _typed_like(found: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Read texts as the types that they were written from, as a reader that knows the fields does."""
    kinds = {name: type(each) for name, each in value.items()}
    return {
        name: datetime.fromisoformat(each) if issubclass(kinds[name], datetime) else each
        for name, each in found.items()
    }


async def _rows(case: Case, base: Path) -> None:
    path = base / "rows.ion"
    if "lines" in case.body:
        path.write_text("".join(f"{line}\n" for line in case.body["lines"]), "utf-8")
    else:
        with path.open("wb") as file:
            for row in case.body["rows"]:
                write_row(file, row)
    expected = case.body["expect"]
    found = list(ion_rows(path))
    if "rows" in expected:
        claim(found, expected["rows"], "rows")
    if "lines" in expected:
        copy = base / "copy.ion"
        with copy.open("wb") as file:
            for row in found:
                write_row(file, row)
        claim(copy.read_text("utf-8").splitlines(), expected["lines"], "lines")
    if "count" in expected and "maximum" not in str(case.body.get("operation")):
        claim(len(found), expected["count"], "count")


async def secret(case: Case, base: Path) -> None:
    """A secret, or one that is not there."""
    environment = {**os.environ, **(case.body.get("config") or {}).get("env", {})}
    expected = case.body["expect"]
    try:
        found = EnvironmentSecrets(environment).get("main", "company", case.body["key"])
    except NotFound as error:
        claim("error" in expected, True, f"an error is expected ({error})")
        check_text(str(error), expected["error"])
    else:
        claim("error" in expected, False, "an error is expected")
        claim(found, expected.get("value", expected.get("equals")), "the secret")


async def maps(case: Case, base: Path) -> None:
    """Names with dots become maps within maps."""
    flat = case.body.get("flatten_to_nested")
    if "merge_all" in case.body:
        claim(reduce(deep_merge, case.body["merge_all"]), case.body["expect"]["equals"], "merged")
        return
    if "a" in case.body:
        merged, expected = deep_merge(case.body["a"], case.body["b"]), case.body["expect"]
        for path, wanted in expected.items():
            found: Any = merged
            for part in path.split("."):
                found = found[part]
            claim(
                len(found) if isinstance(wanted, dict) else found,
                wanted["size"] if isinstance(wanted, dict) else wanted,
                path,
            )
        return
    if flat is None:
        raise LeftOut("the runner does not know what is done with these maps")
    if "error" in case.body["expect"]:
        raise Mismatch(f"{nested(flat.items())} is made of it, expected an error")
    claim(nested(flat.items()), case.body["expect"]["equals"], "nested")


async def configured_defaults(case: Case, base: Path) -> None:
    """Plugin defaults of a settings file, as tasks get them."""
    values, _ = translate(case.body["config"], {})
    (default,) = read_outer(values["plugins.defaults"]).everywhere
    for path, expected in case.body["expect"].items():
        found: Any = {"keys_of_values": default.values}
        for part in path.split("."):
            found = found[part]
        claim(list(found), expected, path)


async def file_extension(case: Case, base: Path) -> None:
    """The extension of a file's name, which the files that are made of it get."""
    claim(uris.extension(case.body["input"] or "") or None, case.body["expect"], "extension")


async def identifiers(case: Case, base: Path) -> None:
    """Names that are made of parts."""
    found = ids.joined(*case.body["parts"], separator=case.body.get("separator", "_"))
    claim(found, case.body["expect"], "the name")


async def state_store(case: Case, base: Path) -> None:
    """States are kept under a key that tells flow, name and iteration apart."""
    kept: dict[str, Any] = {}
    flow_id, state = "flow", "s"
    for step in case.body.get("steps", []):
        ((action, body),) = step.items()
        if action == "kv_key":
            wanted = body.replace("<flowId>", flow_id).replace(
                "<murmur3 hash of my-taskrun-value>", murmur3("my-taskrun-value")
            )
            claim(list(kept), [wanted], "the keys")
            continue
        key = state_key(body["state"], body["name"], flow_id, body["taskrun_value"])
        if action == "put":
            kept[key] = body["value"]
        elif action == "delete":
            del kept[key]
        else:
            claim(kept.get(key), body.get("value"), f"the state {key}")
    for each in case.body.get("values", []):
        kept[state_key(state, each["name"], flow_id, each["taskrun_value"])] = each["value"]
    if "values" in case.body:
        claim(list(kept.values()), [each["value"] for each in case.body["values"]], "the states read back")
