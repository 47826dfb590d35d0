"""Files of namespaces: read, written, moved and deleted, one by one or as archives."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath
from litestar.response import Stream

from tiercel.errors import Conflict, NotFound, Refused
from tiercel.model.flow import Flow
from tiercel.storage import uris
from tiercel.storage.base import FileAttributes
from tiercel.storage.namespace_files import NamespaceFolder
from tiercel.webserver import archive as archives
from tiercel.webserver import deployment, multipart
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.actions import read_form
from tiercel.webserver.handlers.executionfiles import file_stream
from tiercel.webserver.problem import TooLarge
from tiercel.webserver.request import AnyRequest

_FILES: Final = "/api/v1/namespaces/{namespace:str}/files"
EXPORT_MAX: Final = 256 << 20
"""Bytes of the files of one exported archive."""
UNPACKED_MAX: Final = 1 << 30
"""Bytes of the files of one imported archive."""
_FLOWS: Final = "/_flows"
"""The folder that flows have in archives; no file may lie in it."""
_FLOW: Final = re.compile(rf"{_FLOWS}/[^/]+")
_NAMESPACE: Final = re.compile(r"(?m)^namespace:.*$")


def attributes_json(attributes: FileAttributes) -> dict[str, Any]:
    """Return what is known of a file as the API shows it: times in milliseconds."""
    shown: dict[str, Any] = msgspec.to_builtins(attributes)
    for name, at in (
        ("lastModifiedTime", attributes.last_modified_time),
        ("creationTime", attributes.creation_time),
    ):
        shown[name] = int(at.timestamp() * 1000)
    return shown


def given(call: Call, name: str = "path", *, default: str | None = None) -> str:
    """Return the path that the query names; raise Refused for one in the folder of flows."""
    found = call.query.one(name, default)
    path = call.query.required(name) if found is None else found
    if _is_of_flows(path):
        raise Refused(f"Forbidden path: {uris.path_of(path)}")
    return path


def path_of(call: Call, namespace: str, name: str = "path", *, default: str | None = None) -> str:
    """Return the storage path of the namespace file that the query names."""
    return uris.namespace_file(namespace, given(call, name, default=default))


def _is_of_flows(path: str) -> bool:
    plain = posixpath.normpath("/" + uris.path_of(path).lstrip("/"))
    return plain == _FLOWS or plain.startswith(f"{_FLOWS}/")


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
    return await file_stream(call, await files_of(call, namespace).locate(given(call), revision))


@get(f"{_FILES}/revisions", tags=["Files"])
async def file_revisions(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return the revisions of a file that are left, the oldest first."""
    call = Call(request)
    found = await files_of(call, namespace).revisions(given(call))
    if not found:
        raise NotFound(f"File '{call.query.one('path')}' does not exist in namespace '{namespace}'.")
    return [msgspec.to_builtins(each, builtin_types=(datetime,)) for each in found]


@get(f"{_FILES}/stats", tags=["Files"])
async def file_stats(request: AnyRequest, namespace: FromPath[str]) -> dict[str, Any]:
    """Return what is known of a namespace file or folder."""
    call = Call(request)
    path = path_of(call, namespace, default="/")
    try:
        return attributes_json(await call.api.storage.attributes(call.tenant_id, path))
    except NotFound:
        if not _is_root(path, namespace):
            raise
    now = call.api.clock.now()  # every namespace has the folder of its files, also before the first of them
    name = posixpath.basename(uris.namespace_files(namespace))
    return attributes_json(
        FileAttributes(file_name=name, last_modified_time=now, creation_time=now, type="Directory", size=0)
    )


def _is_root(path: str, namespace: str) -> bool:
    return path.rstrip("/") == uris.namespace_files(namespace)


@get(f"{_FILES}/directory", tags=["Files"])
async def list_directory(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return what lies in a folder of the namespace's files."""
    call = Call(request)
    path = path_of(call, namespace, default="/")
    try:
        found = await call.api.storage.children(call.tenant_id, path)
    except NotFound as error:
        if not _is_root(path, namespace):
            raise NotFound(f"Directory not found: {call.query.one('path')}") from error
        return []  # a namespace without files has no folder yet
    return [attributes_json(each) for each in found]


@post(f"{_FILES}/directory", status_code=200, tags=["Files"])
async def make_directory(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Make a folder."""
    call = Call(request)
    uris.check_namespace(namespace)
    await call.api.storage.make_directory(call.tenant_id, path_of(call, namespace))


@post(_FILES, status_code=200, tags=["Files"])
async def put_file(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Store a namespace file; a zip archive is unpacked where the path says if it names a folder, else at the root."""
    call = Call(request)
    uris.check_namespace(namespace)
    with multipart.form() as form:
        await read_form(request, form, call.api.settings.text_part_max)
        upload = form.files.get("fileContent") or next(iter(form.files.values()), None)
        if upload is None:
            raise Refused("The body must be 'multipart/form-data' with a part 'fileContent' that has a file name.")
        path = call.query.required("path")
        if upload.file_name.lower().endswith(".zip"):
            await _unpack(call, namespace, given(call) if path.endswith("/") else "/", upload)
        elif _is_of_flows(path):
            await deployment.save(call.api, _flow(call, namespace, path, upload.path.read_bytes()))
        else:
            await files_of(call, namespace).put(path, upload.path)


def _flow(call: Call, namespace: str, path: str, content: bytes) -> Flow:
    """Read a flow that is given as a file of the folder of flows, and becomes one of this namespace."""
    if _FLOW.fullmatch(posixpath.normpath("/" + uris.path_of(path).lstrip("/"))) is None:
        raise Refused(f"Invalid flow file path: {path}")
    if len(content) > call.api.settings.body_max:
        raise TooLarge(f"'{path}' is larger than {call.api.settings.body_max} bytes.")
    source = content.decode("utf-8", "replace")
    return deployment.read_new_flow(call, _NAMESPACE.sub(f"namespace: {namespace}", source, count=1))


def files_of(call: Call, namespace: str) -> NamespaceFolder:
    """Return the files of a namespace."""
    return NamespaceFolder(call.api.storage, call.tenant_id, namespace)


async def _unpack(call: Call, namespace: str, folder: str, upload: multipart.Upload) -> None:
    """Store what an archive holds; nothing when one of its paths or flows cannot be taken."""
    with archives.opened(upload, UNPACKED_MAX) as (archive, entries):
        paths = [uris.path_of(folder + entry.filename.lstrip("/")) for entry in entries]
        texts = [(path, entry) for path, entry in zip(paths, entries, strict=True) if _is_of_flows(path)]
        if sum(entry.file_size for _, entry in texts) > call.api.settings.body_max:
            raise TooLarge(f"The flows are larger than {call.api.settings.body_max} bytes; send them in parts.")
        flows = [_flow(call, namespace, path, archive.read(entry)) for path, entry in texts]
        for path, entry in zip(paths, entries, strict=True):
            if not _is_of_flows(path):
                await files_of(call, namespace).put(path, _pieces(archive, entry))
        for flow in flows:
            await deployment.save(call.api, flow)


async def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> AsyncIterator[bytes]:
    with archive.open(entry) as content:
        while piece := content.read(1 << 20):
            yield piece


@put(_FILES, status_code=200, tags=["Files"])
async def move_file(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Move a namespace file or folder; nothing is overwritten, and no folder goes into itself."""
    call = Call(request)
    uris.check_namespace(namespace)
    source, target = path_of(call, namespace, "from"), path_of(call, namespace, "to")
    if target.startswith(f"{source.rstrip('/')}/"):
        raise Conflict(f"'{call.query.one('from')}' cannot be moved to '{call.query.one('to')}', which is below it.")
    if await call.api.storage.exists(call.tenant_id, target):
        raise Conflict(f"'{call.query.one('to')}' exists already; delete it first.")
    await files_of(call, namespace).move(given(call, "from"), given(call, "to"))


@delete(_FILES, status_code=200, tags=["Files"])
async def delete_file(request: AnyRequest, namespace: FromPath[str]) -> None:
    """Delete a namespace file, or a folder with everything in it, and the folders above that are empty then."""
    call = Call(request)
    if not await files_of(call, namespace).delete(given(call), empty_parents=True):
        raise NotFound(f"File '{call.query.one('path')}' does not exist in namespace '{namespace}'.")


@get(f"{_FILES}/export", tags=["Files"])
async def export_files(request: AnyRequest, namespace: FromPath[str]) -> Response[bytes]:
    """Return all files of a namespace, and its flows in the folder `_flows`, as a zip archive."""
    call = Call(request)
    root, size, buffer = uris.namespace_files(namespace), 0, io.BytesIO()
    rows, _ = await call.api.definitions.search(call.tenant_id, namespace=namespace, size=call.api.settings.bulk_max)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in (each for each in rows if each.namespace == namespace):
            source = await deployment.published_source(call.api, row)
            if source is not None:
                archive.writestr(f"{_FLOWS.lstrip('/')}/{row.id}.yml", source)
        for uri in await call.api.storage.by_prefix(call.tenant_id, root):
            size += (await call.api.storage.attributes(call.tenant_id, uri)).size
            if size > EXPORT_MAX:
                raise Refused(f"The files of '{namespace}' are larger than {EXPORT_MAX} bytes; export parts of them.")
            content = await call.api.storage.read(call.tenant_id, uri)
            archive.writestr(uris.path_of(uri).removeprefix(root).lstrip("/"), content)
    headers = {"content-disposition": f'attachment; filename="{quote(namespace)}_files.zip"'}
    return Response(buffer.getvalue(), media_type="application/octet-stream", headers=headers)


HANDLERS: Final[list[Any]] = [
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
