"""Namespaces: the list of those that have flows, and their files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.datastructures import State as AppState
from litestar.params import FromPath
from litestar.response import Stream

from tiercel.errors import Conflict, NotFound, Refused
from tiercel.storage import uris
from tiercel.storage.base import FileAttributes
from tiercel.storage.namespace_files import NamespaceFolder
from tiercel.webserver import archive as archives
from tiercel.webserver import multipart
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.actions import read_form
from tiercel.webserver.handlers.executionfiles import file_stream
from tiercel.webserver.handlers.keyvalues import with_parents

AnyRequest = Request[Any, Any, AppState]
_BASE: Final = "/api/v1/namespaces"
_FILES: Final = f"{_BASE}/{{namespace:str}}/files"
EXPORT_MAX: Final = 256 << 20
"""Bytes of the files of one exported archive."""
UNPACKED_MAX: Final = 1 << 30
"""Bytes of the files of one imported archive."""


@get(f"{_BASE}/search", tags=["Namespaces"])
async def search_namespaces(request: AnyRequest) -> dict[str, Any]:
    """Search the namespaces that have flows, and those above them."""
    call = Call(request)
    text = (call.query.one("q") or call.query.one("filters[q][EQUALS]") or "").lower()
    names = [name for name in await with_parents(call) if text in name.lower()]
    page = call.query.page()
    if page.sort and page.sort[0].descending:
        names.reverse()
    part = names[(page.number - 1) * page.size : page.number * page.size]
    return {"results": [{"id": name} for name in part], "total": len(names)}


@post(f"{_BASE}/autocomplete", status_code=200, tags=["Namespaces"])
async def autocomplete(request: AnyRequest) -> list[str]:
    """Return the namespaces that begin with, or hold, a text."""
    call = Call(request)
    body = await request.json()
    text = str(body.get("q") or "").lower() if isinstance(body, dict) else ""
    return [name for name in await with_parents(call) if text in name.lower()]


@get(f"{_BASE}/{{namespace:str}}", tags=["Namespaces"])
async def get_namespace(namespace: FromPath[str]) -> dict[str, Any]:
    """Return a namespace: any name is one."""
    return {"id": namespace, "deleted": False}


@get(_BASE, tags=["Namespaces"])
async def list_namespaces(request: AnyRequest) -> list[str]:
    """Return the namespaces that have flows."""
    call = Call(request)
    return await call.api.definitions.namespaces(call.tenant_id)


@get(f"{_BASE}/{{namespace:str}}/inherited-secrets", tags=["Namespaces"])
async def inherited_secrets(request: AnyRequest, namespace: FromPath[str]) -> dict[str, list[str]]:
    """Return the names of the secrets that a namespace can use."""
    call = Call(request)
    return {namespace: call.api.secrets.names(call.tenant_id, namespace)}


@get(f"{_BASE}/{{namespace:str}}/secrets", tags=["Namespaces"])
async def namespace_secrets(request: AnyRequest, namespace: FromPath[str]) -> dict[str, Any]:
    """Return the names of the secrets that a namespace can use."""
    call = Call(request)
    names = call.api.secrets.names(call.tenant_id, namespace)
    return {"readOnly": True, "results": [{"key": name} for name in names], "total": len(names)}


def attributes_json(attributes: FileAttributes) -> dict[str, Any]:
    """Return what is known of a file as the API shows it: times in milliseconds."""
    shown: dict[str, Any] = msgspec.to_builtins(attributes)
    for name, at in (
        ("lastModifiedTime", attributes.last_modified_time),
        ("creationTime", attributes.creation_time),
    ):
        shown[name] = int(at.timestamp() * 1000)
    return shown


def path_of(call: Call, namespace: str, name: str = "path", *, default: str | None = None) -> str:
    """Return the storage path of the namespace file that the query names."""
    given = call.query.one(name, default)
    return uris.namespace_file(namespace, call.query.required(name) if given is None else given)


@get(f"{_FILES}/search", tags=["Files"])
async def search_files(request: AnyRequest, namespace: FromPath[str]) -> list[str]:
    """Return the paths of the namespace's files that hold a text."""
    call = Call(request)
    text, root = (call.query.one("q") or "").lower(), uris.namespace_files(namespace)
    found = await call.api.storage.by_prefix(call.tenant_id, root)
    paths = [uris.path_of(uri).removeprefix(root) for uri in found]
    return sorted(path for path in paths if text in path.lower())


@get(_FILES, tags=["Files"])
async def get_file(request: AnyRequest, namespace: FromPath[str]) -> Stream:
    """Return a namespace file, as it is or as it was at a revision."""
    call = Call(request)
    revision = call.query.number("revision", least=1)
    return await file_stream(call, await files_of(call, namespace).locate(call.query.required("path"), revision))


@get(f"{_FILES}/revisions", tags=["Files"])
async def file_revisions(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return the revisions of a file that are left, the oldest first."""
    call = Call(request)
    found = await files_of(call, namespace).revisions(call.query.required("path"))
    if not found:
        raise NotFound(f"File '{call.query.one('path')}' does not exist in namespace '{namespace}'.")
    return [msgspec.to_builtins(each, builtin_types=(datetime,)) for each in found]


@get(f"{_FILES}/stats", tags=["Files"])
async def file_stats(request: AnyRequest, namespace: FromPath[str]) -> dict[str, Any]:
    """Return what is known of a namespace file or folder."""
    call = Call(request)
    path = path_of(call, namespace, default="/")
    return attributes_json(await call.api.storage.attributes(call.tenant_id, path))


@get(f"{_FILES}/directory", tags=["Files"])
async def list_directory(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return what lies in a folder of the namespace's files."""
    call = Call(request)
    path = path_of(call, namespace, default="/")
    try:
        found = await call.api.storage.children(call.tenant_id, path)
    except NotFound:
        if path.rstrip("/") != uris.namespace_files(namespace):
            raise
        return []  # a namespace without files has no folder yet
    return [attributes_json(each) for each in found]


@post(f"{_FILES}/directory", status_code=200, tags=["Files"])
async def make_directory(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Make a folder."""
    call = Call(request)
    await call.api.storage.make_directory(call.tenant_id, path_of(call, namespace))


@post(_FILES, status_code=200, tags=["Files"])
async def put_file(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Store a namespace file; a zip archive is unpacked where the path says, if it names a folder."""
    call = Call(request)
    with multipart.form() as form:
        await read_form(request, form, call.api.settings.text_part_max)
        upload = form.files.get("fileContent") or next(iter(form.files.values()), None)
        if upload is None:
            raise Refused("The body must be 'multipart/form-data' with a part 'fileContent' that has a file name.")
        path, files = call.query.required("path"), files_of(call, namespace)
        if path.endswith("/") and upload.file_name.lower().endswith(".zip"):
            await _unpack(files, path, upload)
        else:
            await files.put(path, upload.path)


def files_of(call: Call, namespace: str) -> NamespaceFolder:
    """Return the files of a namespace."""
    return NamespaceFolder(call.api.storage, call.tenant_id, namespace)


async def _unpack(files: NamespaceFolder, folder: str, upload: multipart.Upload) -> None:
    with archives.opened(upload, UNPACKED_MAX) as (archive, entries):
        paths = [uris.path_of(folder + entry.filename.lstrip("/")) for entry in entries]
        for path, entry in zip(paths, entries, strict=True):
            await files.put(path, _pieces(archive, entry))


async def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> AsyncIterator[bytes]:
    with archive.open(entry) as content:
        while piece := content.read(1 << 20):
            yield piece


@put(_FILES, status_code=200, tags=["Files"])
async def move_file(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Move a namespace file or folder; nothing is overwritten."""
    call = Call(request)
    if await call.api.storage.exists(call.tenant_id, path_of(call, namespace, "to")):
        raise Conflict(f"'{call.query.one('to')}' exists already; delete it first.")
    await files_of(call, namespace).move(call.query.required("from"), call.query.required("to"))


@delete(_FILES, status_code=200, tags=["Files"])
async def delete_file(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Delete a namespace file, or a folder with everything in it."""
    call = Call(request)
    if not await files_of(call, namespace).delete(call.query.required("path")):
        raise NotFound(f"File '{call.query.one('path')}' does not exist in namespace '{namespace}'.")


@get(f"{_FILES}/export", tags=["Files"])
async def export_files(request: AnyRequest, namespace: FromPath[str]) -> Response[bytes]:
    """Return all files of a namespace as a zip archive."""
    call = Call(request)
    root, size, buffer = uris.namespace_files(namespace), 0, io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for uri in await call.api.storage.by_prefix(call.tenant_id, root):
            size += (await call.api.storage.attributes(call.tenant_id, uri)).size
            if size > EXPORT_MAX:
                raise Refused(f"The files of '{namespace}' are larger than {EXPORT_MAX} bytes; export parts of them.")
            content = await call.api.storage.read(call.tenant_id, uri)
            archive.writestr(uris.path_of(uri).removeprefix(root).lstrip("/"), content)
    headers = {"content-disposition": f'attachment; filename="{quote(namespace)}_files.zip"'}
    return Response(buffer.getvalue(), media_type="application/octet-stream", headers=headers)


HANDLERS: Final[list[Any]] = [
    search_namespaces,
    autocomplete,
    get_namespace,
    list_namespaces,
    inherited_secrets,
    namespace_secrets,
    search_files,
    get_file,
    file_revisions,
    file_stats,
    list_directory,
    make_directory,
    put_file,
    move_file,
    delete_file,
    export_files,
]
