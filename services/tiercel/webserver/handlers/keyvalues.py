"""Key-value pairs of namespaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

import msgspec
from litestar import delete, get, put
from litestar.params import FromPath

from tiercel.errors import Refused
from tiercel.model.duration import format_duration, parse_duration
from tiercel.model.instant import iso_text
from tiercel.repository.base import Sort
from tiercel.storage import uris
from tiercel.storage.base import KeyValueEntry
from tiercel.storage.keyvalues import StorageKeyValues, ancestry
from tiercel.webserver.context import Call
from tiercel.webserver.problem import BadBody
from tiercel.webserver.request import AnyRequest, json_of

_BASE: Final = "/api/v1/namespaces/{namespace:str}/kv"
_SORTS: Final = (
    "namespace",
    "key",
    "version",
    "revision",
    "description",
    "creationDate",
    "updateDate",
    "expirationDate",
)
"""What keys may be sorted by: what is known of them, by its names in JSON."""


def values_of(call: Call) -> StorageKeyValues:
    """Return the pairs of the tenant."""
    return StorageKeyValues(call.api.storage, call.tenant_id, call.api.clock)


def entry_json(entry: KeyValueEntry) -> dict[str, Any]:
    """Return what is known of a key as the API shows it."""
    shown: dict[str, Any] = msgspec.to_builtins(entry, builtin_types=(datetime,))
    return {**shown, "revision": entry.version}


@get(_BASE, tags=["KV"])
async def list_keys(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return the keys of a namespace."""
    return [entry_json(entry) for entry in await values_of(Call(request)).entries(namespace)]


@get("/api/v1/kv", tags=["KV"])
async def search_keys(request: AnyRequest) -> dict[str, Any]:
    """Return the keys of all namespaces that have flows, or of the one that is asked for."""
    call = Call(request)
    page, text = call.query.page(), (call.query.one("q") or "").lower()
    wanted = call.query.one("namespace") or call.query.one("filters[namespace][EQUALS]")
    names = [wanted] if wanted else await with_parents(call)
    entries = [entry for name in names for entry in await values_of(call).entries(name) if text in entry.key.lower()]
    found = _sorted(map(entry_json, entries), page.sort)
    return {"results": found[(page.number - 1) * page.size : page.number * page.size], "total": len(found)}


def _sorted(entries: Iterable[dict[str, Any]], order: Iterable[Sort]) -> list[dict[str, Any]]:
    """Sort keys by what is known of them; those of which it is not known come last, or first when descending."""
    found = list(entries)
    for sort in reversed(tuple(order)):
        if sort.field not in _SORTS:
            raise Refused(f"Keys cannot be sorted by '{sort.field}'; use one of {', '.join(_SORTS)}.")
        known = [entry for entry in found if sort.field in entry]
        known.sort(key=itemgetter(sort.field), reverse=sort.descending)
        unknown = [entry for entry in found if sort.field not in entry]
        found = unknown + known if sort.descending else known + unknown
    return found


async def with_parents(call: Call) -> list[str]:
    """Return the namespaces that have flows, and those above them."""
    names = await call.api.definitions.namespaces(call.tenant_id)
    return sorted({above for name in names for above in ancestry(name)})


@get(f"{_BASE}/inheritance", tags=["KV"])
async def inherited_keys(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return the keys of the namespaces above one."""
    call = Call(request)
    above = [name for name in ancestry(namespace) if name != namespace]
    return [entry_json(entry) for name in above for entry in await values_of(call).entries(name)]


@get(f"{_BASE}/{{key:str}}", tags=["KV"])
async def get_value(request: AnyRequest, namespace: FromPath[str], key: FromPath[str]) -> dict[str, Any]:
    """Return a value with its type, and which revision of it this is."""
    values = values_of(Call(request))
    kind, shown = typed(await values.get(namespace, key))
    entry = await values.entry(namespace, key)
    known = {"revision": entry.version, "updated": entry.update_date} if entry is not None else {}
    return {"type": kind, "value": shown, **known}


def typed(value: Any) -> tuple[str, Any]:
    """Return the name of a value's type, and the value as JSON writes it."""
    match value:
        case bool():
            return "BOOLEAN", value
        case int() | float():
            return "NUMBER", value
        case Decimal():
            return "NUMBER", float(value)
        case datetime():
            return "DATETIME", iso_text(value if value.tzinfo is None else value.astimezone(UTC))
        case date():
            return "DATE", value
        case timedelta():
            return "DURATION", format_duration(value)
        case dict() | list():
            return "JSON", value
        case None:
            return "NULL", None
        case _:
            return "STRING", str(value)


@put(f"{_BASE}/{{key:str}}", status_code=200, tags=["KV"])
async def put_value(request: AnyRequest, namespace: FromPath[str], key: FromPath[str]) -> None:
    """Set a value: the body is JSON, or else a text; the header `ttl` says how long it lives."""
    call = Call(request)
    uris.check_namespace(namespace)
    body = await request.body()
    headers = request.headers
    await values_of(call).put(
        namespace, key, read_value(body), ttl=_ttl(headers.get("ttl")), description=headers.get("description")
    )


def read_value(body: bytes) -> Any:
    """Read a value of a body: JSON, a date, an instant, a duration, or a text; raise BadBody when it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadBody("The value is not UTF-8 text; store bytes as a file of the namespace.") from None
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        value = text
    return _moment(value) if isinstance(value, str) else value


def _moment(text: str) -> Any:
    """Read a text as a duration, a date or an instant if it is one."""
    try:
        if text[:1] in ("P", "-", "+"):
            return parse_duration(text)
        return date.fromisoformat(text) if len(text) == 10 else _instant(text)
    except ValueError:
        return text


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if "T" not in text or at.tzinfo is None:
        raise ValueError("an instant has a time and an offset")
    return at


def _ttl(text: str | None) -> timedelta | None:
    if not text:
        return None
    try:
        length = parse_duration(text)
    except ValueError as error:
        raise Refused(f"The header 'ttl' is wrong: {error}") from None
    if length <= timedelta():
        raise Refused(
            f"The header 'ttl' is wrong: '{text}' is no time to live; give a duration above zero, as in 'P30D'."
        )
    return length


@delete(f"{_BASE}/{{key:str}}", status_code=200, tags=["KV"])
async def delete_value(request: AnyRequest, namespace: FromPath[str], key: FromPath[str]) -> bool:
    """Delete a key; false when there was none."""
    return await values_of(Call(request)).delete(namespace, key)


@delete(_BASE, status_code=200, tags=["KV"])
async def delete_values(request: AnyRequest, namespace: FromPath[str]) -> dict[str, list[str]]:
    """Delete several keys."""
    body = await json_of(request)
    if not isinstance(body, Mapping) or not isinstance(body.get("keys"), list):
        raise Refused('The body must be {"keys": [...]}.')
    values, keys = values_of(Call(request)), [str(key) for key in body["keys"]]
    return {"keys": [key for key in keys if await values.delete(namespace, key)]}


HANDLERS: Final[list[Any]] = [
    list_keys,
    search_keys,
    inherited_keys,
    get_value,
    put_value,
    delete_value,
    delete_values,
]
