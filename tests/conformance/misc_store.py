"""Sections of `misc.yaml` about stores: files of namespaces, key-values, revisions of flows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from tests.conformance.corpus import Case
from tests.conformance.misc_units import claim, made
from tests.conformance.result import LeftOut, Mismatch, only
from tests.conformance.values import duration
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.errors import Conflict, NotFound, Refused
from tiercel.flowspec.parse import parse_flow, update_problems
from tiercel.storage import uris
from tiercel.storage.keyvalues import KeyExpired, StorageKeyValues
from tiercel.storage.local import LocalStorage
from tiercel.storage.namespace_files import NamespaceFolder, OnConflict

_FILE_CLAIMS = ("path", "uri", "is_root", "is_directory", "storage_path", "error")
TICK_S = 0.005
"""Longer than the grain of a version's instant."""


async def namespace_file(case: Case, base: Path) -> None:
    """Where a file of a namespace lies."""
    given, expected, namespace = case.body["given"], case.body["expect"], case.body["namespace"]
    only(expected, _FILE_CLAIMS, "the claim on a file of a namespace")
    named = given.get("uri") or given.get("path") or ""
    try:
        files = NamespaceFolder(LocalStorage(base, durable=False), "main", namespace)
        path = files.relative(named)
    except Refused:
        claim("error" in expected, True, f"an error for {named}")
        return
    claim("error" in expected, False, f"no error for {named}")
    claim(path, expected.get("path", path), "path")
    claim(files.uri(named), expected.get("uri", files.uri(named)), "uri")
    claim(path == "", expected.get("is_root", path == ""), "is root")
    is_folder = files.uri(named).endswith("/")
    claim(is_folder, expected.get("is_directory", is_folder), "is a folder")
    claim(uris.path_of(files.uri(named)), expected.get("storage_path", uris.path_of(files.uri(named))), "storage path")


async def namespace_store(case: Case, base: Path) -> None:
    """Files of a namespace."""
    storage = LocalStorage(base, durable=False)
    for step in case.body["steps"]:
        ((name, body),) = [(key, value) for key, value in step.items() if key not in ("tenant", "expect")]
        tenant = step.get("tenant") or (body.get("tenant") if isinstance(body, Mapping) else None) or "main"
        files = NamespaceFolder(storage, tenant, "io.kestra.test")
        await _files_step(files, storage, tenant, name, body, step)


async def _files_step(
    files: NamespaceFolder, storage: LocalStorage, tenant: str, name: str, body: Any, step: Mapping[str, Any]
) -> None:
    match name:
        case "put":
            conflict = OnConflict(body.get("conflict", "OVERWRITE"))
            try:
                await files.put(body["path"], body["content"].encode(), conflict)
            except Conflict:
                if "error" not in body:
                    raise
                return
            claim("error" in body, False, "error expected")
        case "content":
            for path, content in body.items():
                claim((await storage.read(tenant, files.uri(path))).decode(), content, path)
        case "all":
            claim(sorted(await files.paths()), sorted(body), "files")
        case "find_all":
            claim(await files.paths(), step["expect"], "files")
        case "find":
            include = body.get("include") or body.get("includes") or body.get("patterns") or ["**"]
            exclude = body.get("exclude") or body.get("excludes") or ()
            expected = step.get("expect", body.get("expect"))
            claim(sorted(await files.find(include, exclude)), sorted(expected), "files found")
        case _:
            raise LeftOut(f"the runner does not know the step '{name}'")


async def kv_store(case: Case, base: Path) -> None:
    """Key-value pairs."""
    storage = LocalStorage(base, durable=False)
    keys = StorageKeyValues(storage)
    if "operations" in case.body:
        await _illegal_key(keys, case)
        return
    for step in made(case, "steps"):
        ((name, body),) = step.items()
        match name:
            case "put":
                ttl: timedelta | None = duration(body["ttl"]) if body.get("ttl") else None
                await keys.put("io.kestra.test", body["key"], body["value"], ttl=ttl)
                await asyncio.sleep(TICK_S)  # two versions must not have the same instant
            case "get":
                await _get(keys, body)
            case "list":
                await _list(keys, body)
            case "stored_file":
                await _stored_file(storage, body)
                await _expiration(keys, body)
            case "delete":
                claim(await keys.delete("io.kestra.test", body["key"]), body.get("expect", True), "was there to delete")
            case "exists":
                claim(await keys.exists("io.kestra.test", body["key"]), body.get("expect", True), "exists")
            case _:
                raise LeftOut(f"the runner does not know the step '{name}'")


async def _get(keys: StorageKeyValues, body: Mapping[str, Any]) -> None:
    try:
        value = await keys.get("io.kestra.test", body["key"])
    except KeyExpired:
        claim(body.get("error"), "resource_expired", "error")
    except NotFound:
        claim(body.get("present"), False, "present")
    else:
        claim(value, body.get("value"), "value")


async def _list(keys: StorageKeyValues, body: Mapping[str, Any]) -> None:
    entries = await keys.entries("io.kestra.test")
    claim(len(entries), body.get("count", len(entries)), "count")
    if "keys" in body:
        claim(sorted(entry.key for entry in entries), sorted(body["keys"]), "keys")
    for key, (least, most) in body.get("expiration_minus_creation", {}).items():
        entry = next(entry for entry in entries if entry.key == key)
        assert entry.expiration_date is not None
        length = entry.expiration_date - entry.creation_date
        claim(duration(least) <= length <= duration(most), True, f"{key} lives for {length}")


async def _stored_file(storage: LocalStorage, body: Mapping[str, Any]) -> None:
    path = body["path"].replace("<namespace with slashes>", "io/kestra/test")
    content = (await storage.read("main", path)).decode()
    if not body["content"].startswith("ion of"):
        claim(content, body["content"], "content")


async def _expiration(keys: StorageKeyValues, body: Mapping[str, Any]) -> None:
    if "expirationDate_in" not in body:
        return
    least, most = (duration(each) for each in body["expirationDate_in"])
    entry = await keys.entry("io.kestra.test", Path(body["path"]).stem)
    assert entry is not None
    assert entry.expiration_date is not None
    lives = entry.expiration_date - datetime.now(UTC)
    claim(least <= lives <= most, True, f"{entry.key} lives for {lives}")


async def _illegal_key(keys: StorageKeyValues, case: Case) -> None:
    bad = case.body["key"]
    for name, operation in (
        ("get", lambda: keys.get("io.kestra.test", bad)),
        ("put", lambda: keys.put("io.kestra.test", bad, 1)),
        ("delete", lambda: keys.delete("io.kestra.test", bad)),
    ):
        try:
            await operation()
        except Refused as error:
            claim(str(error), case.body["expect"]["error"]["equals"], f"message of {name}")
        else:
            raise Mismatch(f"'{name}' took the key '{bad}'.")
    await keys.put("io.kestra.test", case.body["valid_key"], 1)


SOURCES = {"A": "format: a", "B": "format: b"}


def _source(name: str) -> str:
    revision = "revision: 12\n" if "revision: 12" in name else ""
    return (
        f"id: flow\nnamespace: io.kestra.unittest\n{revision}tasks:\n- id: one\n"
        f"  type: io.kestra.plugin.core.debug.Return\n  {SOURCES[name[0]]}\n"
    )


async def flow_revisions(case: Case, base: Path) -> None:
    """Revisions of flows."""
    store = MemoryDefinitions()
    place = ("main", "io.kestra.unittest", "flow")
    for step in case.body["steps"]:
        match next(iter(step)):
            case "create":
                found = await store.create(parse_flow(_source(step["create"])))
                claim(found.revision, step.get("revision", found.revision), "revision")
            case "update":
                if "violations" in step:
                    current = await store.flow(*place)
                    assert current is not None
                    changed = msgspec.structs.replace(current, id="other", namespace="io.kestra.other")
                    claim(len(update_problems(changed, current)), step["violations"], "violations")
                    continue
                found = await store.update(parse_flow(_source(step["update"])))
                claim(found.revision, step["revision"], "revision")
            case "delete":
                await store.delete(*place)
            case "revisions":
                claim(len(await store.revisions(*place)), step["revisions"], "revisions")
            case "find_revision":
                row = await store.row(*place, step["find_revision"], deleted=True)
                claim(row is not None, step["found"], "found")
            case "find":
                claim(await store.flow(*place) is not None, step["found"], "found")
            case "revisions_last":
                claim((await store.revisions(*place))[-1].deleted, True, "last revision is the deletion")
            case other:
                raise LeftOut(f"the runner does not know the step '{other}'")
