"""
Functions over files: of the internal storage, of a namespace, of the worker's disk.

In the first dialect a file of the storage must belong to this execution or to the one that started it; the second
one lets the host decide by namespace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tiercel.expression import ion
from tiercel.expression.failure import EvaluationFailed
from tiercel.expression.host import FileAddress
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function
from tiercel.expression.values import whole

_STORAGE = "kestra://"
_NAMESPACE_FILE = "nsfile://"
_LOCAL_FILE = "file://"
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:.*", re.DOTALL)
_EXECUTION_FILE = re.compile(r"/(?P<owner>.+)/[^/]+/executions/.+")
_NAMESPACE_FOLDER = re.compile(r"/_(?:files|file_versions)/")
_ARGUMENTS = ("path", "namespace")
_FORMERLY = {"version": "revision"}


def _namespace_of(call: Call) -> str:
    namespace = call.mapping("flow").get("namespace")
    if namespace is None:
        raise call.fail(f"The '{call.name}' function can only be used in a flow: the variable 'flow' is missing.")
    return java_text(namespace)


def _files_folders(namespace: str) -> tuple[str, str]:
    """Return where a namespace's files lie, and where earlier contents of them do."""
    folder = f"/{namespace.replace('.', '/')}"
    return f"{folder}/_files/", f"{folder}/_file_versions/"


def address(args: Args, call: Call) -> FileAddress:
    """Return the file that the arguments name, or refuse it."""
    if args.get("path") is None:
        raise call.fail(f"The '{call.name}' function expects an argument 'path' that is a path to a file or a URI.")
    path, given, revision = java_text(args["path"]), args.get("namespace"), args.get("revision")
    if "../" in path or path.endswith("/.."):
        raise _escaping(call)
    if path.startswith(_STORAGE + "/"):
        return FileAddress(scheme="kestra", path=path[len(_STORAGE) :], namespace=_owner(path, call))
    version = None if revision is None else whole(revision)
    own = _namespace_of(call) if given is None else java_text(given)
    if path.startswith(_NAMESPACE_FILE):
        authority, _, rest = path[len(_NAMESPACE_FILE) :].partition("/")
        if authority and given is not None:
            raise call.refuse("You cannot set a namespace both as the function argument and inside the URI")
        return FileAddress(scheme="nsfile", path=rest, namespace=authority or own, revision=version)
    if path.startswith(_LOCAL_FILE):
        return FileAddress(scheme="file", path=path[len(_LOCAL_FILE) :], namespace=own)
    if _URI.fullmatch(path):
        raise call.fail(f"Cannot process the URI {path}: scheme not supported.")
    return FileAddress(scheme="nsfile", path=path.lstrip("/"), namespace=own, revision=version)


def _escaping(call: Call) -> EvaluationFailed:
    message = "Path must not contain '../'"
    return call.fail(message) if call.is_second else call.refuse(message)


def _owner(uri: str, call: Call) -> str:
    """Return the namespace a storage URI belongs to, after checking that it may be used here."""
    path, own = uri[len(_STORAGE) :], _namespace_of(call)
    flow, execution, trigger = call.mapping("flow"), call.mapping("execution"), call.mapping("trigger")
    if _belongs(path, own, flow.get("id"), execution.get("id")):
        return own
    upstream = trigger.get("namespace")
    if _belongs(path, upstream, trigger.get("flowId"), trigger.get("executionId")):
        return java_text(upstream)
    if not call.is_second:
        raise call.refuse(f"Unable to read the file '{uri}' as it didn't belong to the current execution")
    is_namespace_file = _NAMESPACE_FOLDER.search(path)
    if is_namespace_file is not None:
        return path[1 : is_namespace_file.start()].replace("/", ".")
    found = _EXECUTION_FILE.fullmatch(path)
    if found is None:
        raise call.refuse(f"Unable to read the file '{uri}' as it is not an execution file")
    return path[1:].rpartition("/executions/")[0].rpartition("/")[0].replace("/", ".")


def _belongs(path: str, namespace: Any, flow_id: Any, execution_id: Any) -> bool:
    if not isinstance(namespace, str):
        return False
    if path.startswith(_files_folders(namespace)):
        return True
    if flow_id is None or execution_id is None:
        return False
    slug = re.sub(r"[^a-z0-9-]", "", java_text(flow_id).lower().replace("_", "-"))
    return path.startswith(f"/{namespace.replace('.', '/')}/{slug}/executions/{java_text(execution_id)}/")


def _translated(error: OSError, file: FileAddress, call: Call) -> EvaluationFailed:
    if isinstance(error, FileNotFoundError):
        where = f" in the namespace '{file.namespace}'" if file.scheme == "nsfile" else ""
        return call.fail(f"The file '{file.path}' does not exist{where}.")
    return call.fail(str(error) or f"The file '{file.path}' cannot be read.")


def _read(args: Args, call: Call) -> Any:
    file = address(args, call)
    try:
        content = call.host.read_file(file)
    except OSError as error:
        raise _translated(error, file, call) from error
    call.meter.check_size(len(content))
    return content if content.startswith(ion.BINARY_MARK) else content.decode("utf-8", "replace")


def _file_size(args: Args, call: Call) -> Any:
    file = address(args, call)
    try:
        return call.host.file_size(file)
    except OSError as error:
        raise _translated(error, file, call) from error


def _is_file_empty(args: Args, call: Call) -> Any:
    return _file_size(args, call) == 0


def _file_exists(args: Args, call: Call) -> Any:
    file = address(args, call)
    try:
        return call.host.file_exists(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _translated(error, file, call) from error


def _file_uri(args: Args, call: Call) -> Any:
    if args.get("path") is None:
        raise call.fail("The 'fileURI' function expects an argument 'path' that is a path to a namespace file.")
    path = java_text(args["path"])
    if "../" in path:
        raise _escaping(call)
    namespace = _namespace_of(call)
    plain = _STORAGE + _files_folders(namespace)[0] + path.lstrip("/")
    if not call.is_second:
        return plain
    revision = args.get("revision")
    file = FileAddress(
        scheme="nsfile",
        path=path.lstrip("/"),
        namespace=namespace,
        revision=None if revision is None else whole(revision),
    )
    try:
        return call.host.file_uri(file)
    except FileNotFoundError as error:
        # The address of a file that is yet to be written is the plain one.
        if file.revision is None:
            return plain
        raise _translated(error, file, call) from error


FUNCTIONS: Mapping[str, Function] = {
    "fileExists": Function(_file_exists, _ARGUMENTS),
    "fileSize": Function(_file_size, _ARGUMENTS),
    "fileURI": Function(_file_uri, ("path", "revision"), _FORMERLY),
    "isFileEmpty": Function(_is_file_empty, _ARGUMENTS),
    "read": Function(_read, (*_ARGUMENTS, "revision"), _FORMERLY),
}
