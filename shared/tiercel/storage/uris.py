"""
Where everything lies in internal storage (reference 7.2), and how its URIs are read.

Paths are below a tenant's folder and begin with `/`; a URI is `kestra://` and the path. A namespace's path has its dots
as slashes. Ids of flows, tasks and triggers are slugs in paths; ids of executions and task runs stay as they are.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from tiercel.errors import Refused
from tiercel.model.flow import NAMESPACE
from tiercel.storage.hashing import murmur3

SCHEME: Final = "kestra://"
_NOT_WORD: Final = re.compile(r"[^\w-]")
_BLANK: Final = re.compile(r"\s+")
_DASHES: Final = re.compile(r"-{2,}")
_NAMESPACE: Final = re.compile(NAMESPACE, re.IGNORECASE | re.ASCII)
NAMESPACE_SIZE_MAX: Final = 150
"""Characters of a namespace's name, as in flows."""


@lru_cache(maxsize=4096)
def slug(text: str) -> str:
    """Write an id in lower-case ASCII letters, digits and single hyphens."""
    dashed = _BLANK.sub("-", text.strip())
    plain = unicodedata.normalize("NFD", dashed).encode("ascii", "ignore").decode()
    letters = _NOT_WORD.sub("", plain).replace("_", "-").lower()
    return _DASHES.sub("-", letters).strip("-")


def uri(path: str) -> str:
    """Return the URI of a path."""
    return SCHEME + path if path.startswith("/") else f"{SCHEME}/{path}"


def path_of(text: str) -> str:
    """
    Return the path of a URI, or of a path that is given in its place, with a leading `/` and without `..`.

    Raises Refused for another scheme and for a path that would lead out of its folder.
    """
    if text.startswith(SCHEME):
        path = text[len(SCHEME) :]
    elif "://" in text or text.startswith("kestra:"):
        raise Refused(f"'{text}' is not a URI of internal storage; such a URI begins with 'kestra:///'.")
    else:
        path = text
    if "\0" in path:
        raise Refused(f"The path {text!r} must not contain a NUL byte.")
    if "\\.." in path or ".." in path.split("/"):
        raise Refused(f"The path '{text}' must not contain '..'.")
    return path if path.startswith("/") else "/" + path


def extension(text: str) -> str:
    """Return the extension of the file that a URI or path names, with its dot; empty when it has none."""
    return PurePosixPath(text).suffix


def is_uri(text: object) -> bool:
    """Tell whether a value is a text that names a file of internal storage."""
    return isinstance(text, str) and text.startswith(SCHEME)


def check_namespace(name: str) -> None:
    """Raise Refused unless a namespace may have this name, in capitals or not, and so get files and keys."""
    if len(name) > NAMESPACE_SIZE_MAX or _NAMESPACE.fullmatch(name) is None:
        raise Refused(
            f"'{name[:NAMESPACE_SIZE_MAX]}' cannot be a namespace: a name begins with a letter or digit, and has at"
            f" most {NAMESPACE_SIZE_MAX} letters, digits, dots, underscores and hyphens."
        )


def namespace(name: str) -> str:
    """Return the folder of a namespace."""
    return "/" + name.replace(".", "/")


def flow(namespace_name: str, flow_id: str) -> str:
    """Return the folder of a flow."""
    return f"{namespace(namespace_name)}/{slug(flow_id)}"


def execution(namespace_name: str, flow_id: str, execution_id: str) -> str:
    """Return the folder of an execution."""
    return f"{flow(namespace_name, flow_id)}/executions/{execution_id}"


def task(namespace_name: str, flow_id: str, execution_id: str, task_id: str, task_run_id: str) -> str:
    """Return the folder of a task run."""
    return f"{execution(namespace_name, flow_id, execution_id)}/tasks/{slug(task_id)}/{task_run_id}"


def trigger(namespace_name: str, flow_id: str, execution_id: str, trigger_id: str) -> str:
    """Return the folder of what a trigger stored for the execution that it started."""
    return f"{execution(namespace_name, flow_id, execution_id)}/trigger/{slug(trigger_id)}"


def webhook(namespace_name: str, flow_id: str, execution_id: str) -> str:
    """Return the folder of what a webhook was sent with the call that started the execution."""
    return f"{execution(namespace_name, flow_id, execution_id)}/webhook"


def input_file(namespace_name: str, flow_id: str, execution_id: str, input_id: str, name: str) -> str:
    """Return the path of a file that was given as an input."""
    return f"{execution(namespace_name, flow_id, execution_id)}/inputs/{input_id}/{name}"


def cache(namespace_name: str, flow_id: str, task_id: str, value: str | None = None) -> str:
    """Return the path of a task's cached folder, one per iteration value."""
    below = f"{murmur3(value)}/" if value is not None else ""
    return f"{flow(namespace_name, flow_id)}/{slug(task_id)}/cache/{below}cache.zip"


def key_values(namespace_name: str) -> str:
    """Return the folder of a namespace's key-value store."""
    return f"{namespace(namespace_name)}/_kv"


def key_value(namespace_name: str, key: str) -> str:
    """Return the path of one key's value."""
    return f"{key_values(namespace_name)}/{key}.ion"


def key_versions(namespace_name: str) -> str:
    """Return the folder of earlier values of a namespace's keys; no key has its name."""
    return f"{key_values(namespace_name)}/_versions"


def namespace_files(namespace_name: str) -> str:
    """Return the folder of a namespace's files."""
    return f"{namespace(namespace_name)}/_files"


def file_versions(namespace_name: str) -> str:
    """Return the folder of earlier contents of a namespace's files."""
    return f"{namespace(namespace_name)}/_file_versions"


def namespace_file(namespace_name: str, path: str) -> str:
    """Return the path of a namespace file; `path` is relative to the namespace's files."""
    inside = path_of(path).lstrip("/")
    while inside.startswith("./"):
        inside = inside[2:]
    return f"{namespace_files(namespace_name)}/{inside}"
