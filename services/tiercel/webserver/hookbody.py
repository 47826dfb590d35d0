"""What a webhook is called with: text, JSON, bytes, or a form with files; what is stored belongs to the execution."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from tiercel.model.flow import Flow
from tiercel.plugins.core.trigger.webhook import BodyFetch
from tiercel.storage import uris
from tiercel.webserver import multipart
from tiercel.webserver.context import Call
from tiercel.webserver.problem import BadBody, TooLarge

_TEXTS: Final = frozenset(
    {"json", "x-ndjson", "ndjson", "jsonl", "xml", "x-www-form-urlencoded", "yaml", "x-yaml", "csv", "graphql", "sql"}
)
_TEXT_SUFFIXES: Final = ("+json", "+xml", "+yaml")


async def received(call: Call, flow: Flow, fetch: BodyFetch, execution_id: str) -> dict[str, Any]:
    """
    Return what the trigger says of the body: `body`, or `uri`, or `parts` and `formFields`.

    Files of a form are stored always, any other body only when `fetch` asks for it.
    """
    if _content_type(call) == "multipart/form-data":
        return {"body": None, **await _form(call, flow, execution_id)}
    if fetch is BodyFetch.FETCH:
        return {"body": await _body(call)}
    content = await _begun(call)
    if content is None or fetch is BodyFetch.NONE:
        return {"body": None}
    path = f"{uris.webhook(flow.namespace, flow.id, execution_id)}/body"
    return {"body": None, "uri": await call.api.storage.put(call.tenant_id, path, content)}


async def drop(call: Call, flow: Flow, execution_id: str, variables: dict[str, Any]) -> None:
    """Delete what was stored for an execution that is not to be."""
    if variables.get("uri") or variables.get("parts"):
        folder = uris.webhook(flow.namespace, flow.id, execution_id)
        await call.api.storage.delete_by_prefix(call.tenant_id, folder)


async def _form(call: Call, flow: Flow, execution_id: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    folder = uris.webhook(flow.namespace, flow.id, execution_id)
    content_type = call.request.headers.get("content-type", "")
    with multipart.form() as form:
        await multipart.read(form, content_type, call.request.stream(), call.api.settings.text_part_max)
        for number, upload in enumerate(form.uploads):
            uri = await call.api.storage.put(call.tenant_id, f"{folder}/{number}/{upload.file_name}", upload.path)
            parts.append(
                {
                    "name": upload.name,
                    "filename": upload.file_name,
                    "contentType": upload.content_type,
                    "size": upload.size,
                    "uri": uri,
                }
            )
        return {"parts": parts, "formFields": form.fields}


async def _begun(call: Call) -> AsyncIterator[bytes] | None:
    """Return the body as it arrives, None when there is none."""
    stream = call.request.stream()
    async for first in stream:
        if first:
            return _chained(first, stream)
    return None


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _body(call: Call) -> Any:
    """
    Return the body: an object or a list when it is JSON, bytes in base64, else its text; None when there is none.

    Whoever says that it is JSON is held to that: what was cut off on its way must start nothing.
    """
    body = await call.request.body()
    if len(body) > call.api.settings.body_max:
        raise TooLarge(f"The body has {len(body)} bytes; at most {call.api.settings.body_max} are taken.")
    if not body:
        return None
    kind = _content_type(call)
    if kind and not _is_text(kind):
        return base64.b64encode(body).decode()
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        if kind == "application/json" or kind.endswith("+json"):
            raise BadBody(f"The body is not JSON, as its content type says: {error}.") from error
        found = None
    return found if isinstance(found, dict | list) else body.decode("utf-8", "replace")


def _is_text(kind: str) -> bool:
    subtype = kind.partition("/")[2]
    return kind.startswith("text/") or subtype in _TEXTS or subtype.endswith(_TEXT_SUFFIXES)


def _content_type(call: Call) -> str:
    return call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
