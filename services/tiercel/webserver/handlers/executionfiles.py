"""Files of an execution: download, size, preview."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.response import Stream

from tiercel.errors import NotFound, Refused
from tiercel.expression import ion
from tiercel.expression.printing import json_of
from tiercel.plugins.core.storage.rows import ion_rows
from tiercel.runtime.scratch import Scratch
from tiercel.storage import uris
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest

_ID: Final = "/api/v1/executions/{execution_id:str}/file"
_OWNER: Final = re.compile(r"/(?P<namespace>.+)/(?P<flow>[^/]+)/executions/(?P<execution>[^/]+)/.+")
PREVIEW_MAX: Final = 2 << 20
"""Bytes that a preview reads."""
_CHUNK: Final = 256 * 1024
ROWS_DEFAULT: Final = 100
"""Rows of a preview, as in Kestra."""
ROWS_MAX: Final = 5000
"""Rows of a preview at most, as in Kestra."""
_IMAGES: Final = frozenset({"jpg", "jpeg", "png", "gif", "webp", "svg", "bmp"})


async def located(call: Call, execution_id: str) -> str:
    """Return the storage path that the query asks for, if who may read the execution may read it."""
    wanted = call.query.required("path")
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    if wanted.startswith("nsfile://"):
        return uris.namespace_file(execution.namespace, wanted.removeprefix("nsfile://"))
    if wanted.startswith("file:"):
        raise Refused(f"'{wanted}' lies on a disk; only files of internal storage can be shown.")
    path = uris.path_of(wanted)
    own = uris.execution(execution.namespace, execution.flow_id, execution.id) + "/"
    if path.startswith(own):
        return path
    match = _OWNER.fullmatch(path)
    if match is None:
        raise Refused(f"'{wanted}' is not a file of an execution.")
    other = (await call.api.reader.heads(call.tenant_id, [match["execution"]])).get(match["execution"])
    if other is None:
        raise NotFound(f"Unable to find execution id '{match['execution']}'")
    if not path.startswith(uris.execution(other.namespace, other.flow_id, other.id) + "/"):
        raise Refused(f"'{wanted}' is not a file of execution '{other.id}'.")
    return path


@get(_ID, tags=["Executions"])
async def download_file(request: AnyRequest, execution_id: FromPath[str]) -> Stream:
    """Return a file of an execution: as it is, or the rows of an Ion file as lines of JSON (`format=JSONL`)."""
    call = Call(request)
    form = (call.query.one("format") or "RAW").upper()
    if form not in ("RAW", "JSONL"):
        raise Refused(f"'format' takes RAW or JSONL, not '{form}'.")
    path = await located(call, execution_id)
    return await (file_stream(call, path) if form == "RAW" else _json_lines_stream(call, path))


async def _json_lines_stream(call: Call, path: str) -> Stream:
    """Convert the whole file before the answer begins: one that is no Ion is refused instead of cut off."""
    folder = Scratch("download")
    source, target = folder.path / "rows", folder.path / "lines"
    try:
        await call.api.storage.fetch(call.tenant_id, path, source)
        await asyncio.to_thread(_convert, source, target)
    except ValueError as error:
        folder.close()
        raise Refused(f"'{path}' cannot be read as Ion: {error}; ask for it with format=RAW.") from error
    except BaseException:  # whatever it was, also a cancellation: the copy must go
        folder.close()
        raise
    name = path.rpartition("/")[2]
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name.removesuffix('.ion') + '.jsonl')}",
        "content-length": str(target.stat().st_size),
    }

    async def content() -> AsyncIterator[bytes]:
        try:
            with target.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK):
                    yield chunk
        finally:
            folder.close()

    return Stream(content(), media_type="application/octet-stream", headers=headers)


def _convert(source: Path, target: Path) -> None:
    with target.open("wb") as lines:
        for value in ion_rows(source):
            lines.write(json_of(value).encode() + b"\n")


async def file_stream(call: Call, path: str) -> Stream:
    """Return the answer that streams a file of internal storage."""
    attributes = await call.api.storage.attributes(call.tenant_id, path)
    if attributes.type == "Directory":
        raise Refused(f"'{path}' is a folder; ask for a file in it.")

    async def content() -> AsyncIterator[bytes]:
        async with call.api.storage.open(call.tenant_id, path) as chunks:
            async for chunk in chunks:
                yield chunk

    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(attributes.file_name)}",
        "content-length": str(attributes.size),
    }
    return Stream(content(), media_type="application/octet-stream", headers=headers)


@get(f"{_ID}/metas", tags=["Executions"])
async def file_metas(request: AnyRequest, execution_id: FromPath[str]) -> dict[str, Any]:
    """Return the size of a file of an execution."""
    call = Call(request)
    attributes = await call.api.storage.attributes(call.tenant_id, await located(call, execution_id))
    return {"size": attributes.size}


@get(f"{_ID}/preview", tags=["Executions"])
async def preview_file(request: AnyRequest, execution_id: FromPath[str]) -> dict[str, Any]:
    """Return the beginning of a file of an execution, in a form that can be shown."""
    call = Call(request)
    path = await located(call, execution_id)
    rows = min(call.query.number("maxRows", ROWS_DEFAULT, least=1) or ROWS_DEFAULT, ROWS_MAX)
    encoding = call.query.one("encoding") or "UTF-8"
    try:
        b"a".decode(encoding, "replace")
    except (LookupError, ValueError):
        raise Refused(f"Unable to preview using encoding '{encoding}'; use for example UTF-8.") from None
    head, truncated = await _head(call, path)
    return preview(
        path.rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else "", head, rows, encoding, truncated
    )


async def _head(call: Call, path: str) -> tuple[bytes, bool]:
    found = bytearray()
    async with call.api.storage.open(call.tenant_id, path) as chunks:
        async for chunk in chunks:
            found += chunk
            if len(found) > PREVIEW_MAX:
                return bytes(found[:PREVIEW_MAX]), True
    return bytes(found), False


def _decoded(head: bytes, encoding: str) -> str:
    try:
        return head.decode(encoding, "replace").encode("utf-8", "replace").decode()
    except UnicodeError as error:
        raise Refused(f"The file is no text in encoding '{encoding}': {error}.") from error


def preview(extension: str, head: bytes, rows: int, encoding: str, truncated: bool) -> dict[str, Any]:
    """Return the beginning of a file as rows, an image or a text."""
    data: dict[str, Any] = {"extension": extension}
    if extension == "ion":
        whole = head[: head.rfind(b"\n") + 1] if truncated and not head.startswith(ion.BINARY_MARK) else head
        found = msgspec.to_builtins(ion.loads(whole), enc_hook=str, builtin_types=(datetime,))
        return {**data, "type": "LIST", "content": found[:rows], "truncated": truncated or len(found) > rows}
    if extension in _IMAGES:
        return {**data, "type": "IMAGE", "content": base64.b64encode(head).decode(), "truncated": truncated}
    if extension == "pdf":
        return {**data, "type": "PDF", "content": base64.b64encode(head).decode(), "truncated": truncated}
    lines = _decoded(head, encoding).splitlines(keepends=True)
    if extension in ("jsonl", "ndjson"):
        return {
            **data,
            "type": "LIST",
            "content": _json_lines(lines[:rows]),
            "truncated": truncated or len(lines) > rows,
        }
    kind = "MARKDOWN" if extension == "md" else "TEXT"
    return {**data, "type": kind, "content": "".join(lines[:rows]), "truncated": truncated or len(lines) > rows}


def _json_lines(lines: list[str]) -> list[Any]:
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            found.append(line)
    return found


HANDLERS: Final[list[Any]] = [download_file, file_metas, preview_file]
