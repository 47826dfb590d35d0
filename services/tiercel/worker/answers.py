"""Finds the answers to what expressions ask: secrets, key-value pairs, files, large outputs, other services."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tiercel.errors import NotFound, OperatorError, Refused
from tiercel.expression.asking import Asked
from tiercel.expression.host import Absent, Expired, FileAddress
from tiercel.runtime import outbound
from tiercel.storage import claimcheck, uris
from tiercel.storage.keyvalues import KeyExpired, ancestry
from tiercel.storage.namespace_files import revision_path
from tiercel.worker.core.question import LargeValue

if TYPE_CHECKING:
    from tiercel.worker.context import TaskContext

FILE_SIZE_MAX: Final = 16 << 20
"""Bytes of a file that read() puts into an expression."""


async def answer(question: Asked, context: TaskContext) -> Any:
    """Return the answer, or the error to raise in its place."""
    try:
        return await _find(question, context)
    except (Absent, OSError, ValueError, OperatorError) as error:
        return error


async def _find(question: Asked, context: TaskContext) -> Any:
    about = question.about
    match question.sort:
        case "large":
            return await _large(about[0], context)
        case "secret":
            return await _secret(about[0], about[1], context)
        case "kv":
            return await _key_value(about[0], about[1], about[2], context)
        case "file":
            return await _file(about[0], context)
        case "file_size":
            return await _file_size(about[0], context)
        case "file_exists":
            return await _file_exists(about[0], context)
        case "file_uri":
            return await _file_uri(about[0], context)
        case "http":
            return await outbound.answered(about[0])
        case "error_logs":
            return context.surroundings.error_log.of(context.execution_id)
        case "free_port":
            return _free_port()
        case _:
            raise Absent(f"'{question.sort}' cannot be asked for while a task runs.")


async def _large(value: LargeValue, context: TaskContext) -> None:
    found = await claimcheck.check_out(context.storage, context.tenant_id, value.uri)
    value.fill(context.decrypted(found))


async def _secret(namespace: str, key: str, context: TaskContext) -> str:
    secrets = context.surroundings.secrets
    for name in ancestry(namespace):
        try:
            found = await asyncio.to_thread(secrets.get, context.tenant_id, name, key)
        except NotFound:
            continue
        context.mask.add(found)
        return found
    raise Absent(f"Cannot find secret for key '{key}'.")


async def _key_value(namespace: str, key: str, inherited: bool, context: TaskContext) -> Any:
    for name in ancestry(namespace) if inherited else (namespace,):
        try:
            return await context.key_values.get(name, key)
        except KeyExpired as error:
            raise Expired(str(error)) from error
        except NotFound:
            continue
        except Refused as error:
            raise ValueError(str(error)) from error
    raise Absent(f"The key '{key}' does not exist in the namespace '{namespace}'.")


async def _path(file: FileAddress, context: TaskContext) -> str:
    if file.scheme != "nsfile":
        return file.path
    return await revision_path(context.storage, context.tenant_id, file.namespace, file.path, file.revision)


def _local(file: FileAddress, context: TaskContext) -> Path | None:
    """Return the path of a file on the worker's disk, None for a file of storage."""
    if file.scheme != "file":
        return None
    try:
        return context.local_file(file.path)
    except Refused as error:
        raise PermissionError(str(error)) from error


async def _file(file: FileAddress, context: TaskContext) -> bytes:
    local = _local(file, context)
    if local is not None:
        return await asyncio.to_thread(_read_local, local)
    try:
        return await context.storage.read(context.tenant_id, await _path(file, context), limit=FILE_SIZE_MAX)
    except NotFound as error:
        raise FileNotFoundError(str(error)) from error
    except Refused as error:
        raise PermissionError(str(error)) from error


def _read_local(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(FILE_SIZE_MAX + 1)
    if len(content) > FILE_SIZE_MAX:
        raise PermissionError(f"The file '{path}' is larger than {FILE_SIZE_MAX} bytes.")
    return content


async def _file_size(file: FileAddress, context: TaskContext) -> int:
    local = _local(file, context)
    if local is not None:
        return (await asyncio.to_thread(local.stat)).st_size
    try:
        return (await context.storage.attributes(context.tenant_id, await _path(file, context))).size
    except NotFound as error:
        raise FileNotFoundError(str(error)) from error


async def _file_exists(file: FileAddress, context: TaskContext) -> bool:
    local = _local(file, context)
    if local is not None:
        return await asyncio.to_thread(local.is_file)
    return await context.storage.exists(context.tenant_id, await _path(file, context))


async def _file_uri(file: FileAddress, context: TaskContext) -> str:
    path = await _path(file, context)
    if not await context.storage.exists(context.tenant_id, path):
        raise FileNotFoundError(f"The file '{file.path}' does not exist in the namespace '{file.namespace}'.")
    return uris.uri(path)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
