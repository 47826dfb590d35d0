"""Sections of `misc.yaml` that go through the API."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.conformance.corpus import Case
from tests.conformance.interpolation import Names
from tests.conformance.misc_units import claim
from tests.conformance.problems import check_status, message_of
from tests.conformance.result import Mismatch, only
from tests.conformance.values import duration, instant
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.errors import Refused
from tiercel.model.execution import Execution
from tiercel.model.state import State, StateChange
from tiercel.queue.memory import MemoryBackend
from tiercel.repository.filter import Field
from tiercel.repository.memory import MemoryRepository
from tiercel.runtime.adapters import Adapters
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage import uris
from tiercel.storage.keyvalues import StorageKeyValues
from tiercel.storage.local import LocalStorage
from tiercel.webserver.app import build
from tiercel.webserver.creation import addresses
from tiercel.webserver.query import Query
from tiercel.webserver.settings import WebserverSettings

NAMESPACE = "io.namespace"


def _adapters(base: Path) -> Adapters:
    backend = MemoryBackend()
    return Adapters(
        queue=backend,
        statestore=backend,
        leases=backend,
        storage=LocalStorage(base, durable=False),
        secrets=EnvironmentSecrets({}),
        definitions=MemoryDefinitions(),
        repository=MemoryRepository(),
    )


async def kv_api(case: Case, base: Path) -> None:
    """Key-value pairs through the API."""
    adapters = _adapters(base)
    app = build(adapters, WebserverSettings())
    keys = StorageKeyValues(adapters.storage)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://tiercel") as client:
        if "stored_ion" in case.body:
            path = uris.key_value(NAMESPACE, "my-key")
            await adapters.storage.put("main", path, case.body["stored_ion"].encode())
            response = await client.get(f"/api/v1/main/namespaces/{NAMESPACE}/kv/my-key")
            check_status(response, "ok")
            for part in case.body["expect"]["json_contains"]:
                if _plain(part) not in _plain(response.text):
                    raise Mismatch(f"The answer is {response.text}, expected {part} in it")
        elif "put_json" in case.body:
            await _put(case, client, keys)
        else:
            await _request(case, client, keys)
    await app.api.close()


def _plain(text: str) -> str:
    return text.replace(" ", "")


async def _put(case: Case, client: httpx.AsyncClient, keys: StorageKeyValues) -> None:
    content = case.body["put_json"]
    is_json = _is_json(content)
    response = await client.put(
        f"/api/v1/main/namespaces/{NAMESPACE}/kv/my-key",
        content=content,
        headers={"content-type": "application/json" if is_json else "text/plain", "ttl": case.body["ttl"]},
    )
    check_status(response, "ok")
    expected = case.body["expect"]
    entries = await keys.entries(NAMESPACE)
    claim(len(entries), expected["list_count"], "count")
    least, most = (duration(each) for each in expected["expiration_between"])
    until = entries[0].expiration_date
    assert until is not None
    claim(least <= until - datetime.now(UTC) <= most, True, f"it expires at {until}")
    value = await keys.get(NAMESPACE, "my-key")
    claim(type(value).__name__ in TYPES[expected["stored_type"]], True, f"a {type(value).__name__} was stored")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


TYPES: dict[str, tuple[str, ...]] = {
    "map": ("dict",),
    "list": ("list",),
    "string": ("str",),
    "integer": ("int",),
    "decimal": ("float", "Decimal"),
    "boolean": ("bool",),
    "local_date": ("date",),
    "instant": ("datetime",),
    "duration": ("timedelta", "str"),
}


async def _request(case: Case, client: httpx.AsyncClient, keys: StorageKeyValues) -> None:
    names = Names(datetime.now(UTC))
    for step in names.fill(case.body.get("setup", [])):
        stored = step["stored"]
        expires = instant(stored["expirationDate"]) if stored.get("expirationDate") else None
        await keys.put(stored.get("namespace", NAMESPACE), stored["key"], stored.get("value", "value"), expires=expires)
    only(case.body["expect"], ("status", "message", "keys", "exists_after", "entries"), "the claim on an answer")
    request = dict(case.body["http"])
    body = request.pop("body", None)
    ((method, path),) = request.items()
    options: dict[str, Any] = {"json": body} if body is not None else {}
    if method == "PUT" and body is None:
        options = {"content": json.dumps("value"), "headers": {"content-type": "application/json"}}
    response = await client.request(method, re.sub("^/api/v1/(?!main/)", "/api/v1/main/", path), **options)
    expected = case.body["expect"]
    check_status(response, expected.get("status"))
    if "message" in expected:
        claim(message_of(response), expected["message"], "message")
    if "keys" in expected:
        claim(response.json()["keys"], expected["keys"], "keys")
    if "exists_after" in expected:
        claim(await keys.exists(NAMESPACE, path.rpartition("/")[2]), expected["exists_after"], "exists")
    if "entries" in expected:
        found = response.json()
        entries = found if isinstance(found, list) else found.get("results", [])
        claim(sorted(entry["key"] for entry in entries), sorted(expected["entries"]), "keys")


async def ui_url(case: Case, base: Path) -> None:
    """Addresses of the user interface, as answers of the API show them."""
    settings, expected = WebserverSettings(url=case.body["config"]["url"]), case.body["expect"]
    only(expected, ("root_contains", "contains"), "the claim on an address")
    if "root_contains" in expected:
        claim(expected["root_contains"] in f"{settings.base_url}/", True, f"{settings.base_url}/ is the root")
        return
    tenant = case.body.get("tenant") or "main"
    adapters = _adapters(base)
    app = build(adapters, settings)
    names = {"<namespace>": NAMESPACE, "<flow id>": "flow", "<execution id>": "e1"}
    shown_by_api = addresses(app.api, _execution(tenant), is_new="tenant" in case.body)
    is_flow = any("<flow id>" in part for part in expected["contains"]) and "<execution id>" not in str(expected)
    shown = shown_by_api["flowUrl" if is_flow else "url"]
    await app.api.close()
    for part in expected["contains"]:
        for name, value in names.items():
            part = part.replace(name, value)
        claim(part in shown, True, f"'{part}' is in {shown}")


def _execution(tenant: str) -> Execution:
    return Execution(
        id="e1",
        tenant_id=tenant,
        namespace=NAMESPACE,
        flow_id="flow",
        flow_revision=1,
        state=State.CREATED,
        history=(StateChange(state=State.CREATED, date=datetime.now(UTC)),),
    )


async def dates(case: Case, base: Path) -> None:
    """The date from which a search looks, given as such or as a length of time before now."""
    given, expected = case.body["given"], case.body["expect"]
    pairs = [("startDate", f"{given['absolute']}Z")] if given["absolute"] else []
    pairs += [("timeRange", given["offset"])] if given["offset"] else []
    now = datetime.fromisoformat(f"{given['base'] or given['absolute']}+00:00")
    try:
        (found,) = Query(urlencode(pairs)).filters("EXECUTION", (Field.START_DATE,), now)
    except Refused:
        claim("error" in expected, True, "an error")
        return
    claim(found.value, datetime.fromisoformat(f"{expected}+00:00"), "the date")
