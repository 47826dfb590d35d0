"""
The port through which expressions reach the world: secrets, key-value pairs, files, logs, time, randomness.

All methods are synchronous. A caller that cannot answer yet may raise any signal of its own that is neither an
ExpressionError nor one of Python's value or OS errors: it passes through the evaluation unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from random import Random
from typing import Any, Protocol

import msgspec


class Absent(LookupError):
    """A secret or key does not exist; `message` tells which when the answerer knows better."""


class Expired(Absent):
    """A key existed, but its time is over."""


class FileAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A file an expression names.

    `scheme` is `kestra` (internal storage, `path` below its root), `nsfile` (namespace file, `path` below the
    namespace's files) or `file` (the disk of the worker). `namespace` is the one the file belongs to.
    """

    scheme: str
    path: str
    namespace: str
    revision: int | None = None


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the function http()."""

    method: str
    uri: str
    headers: Mapping[str, tuple[str, ...]]
    body: bytes | None = None
    options: Mapping[str, Any] = {}


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request."""

    status: int
    reason: str
    content_type: str
    body: bytes


class SubflowCall(msgspec.Struct, frozen=True, kw_only=True):
    """A flow that an expression runs and waits for."""

    namespace: str
    flow_id: str
    revision: int | None
    inputs: Mapping[str, Any]
    labels: Mapping[str, str]
    timeout_s: float


class SubflowResult(msgspec.Struct, frozen=True, kw_only=True):
    """How such a flow ended."""

    id: str
    state: str
    outputs: Mapping[str, Any]
    labels: Mapping[str, str]


class Host(Protocol):
    """Answers what an expression asks of the world."""

    @property
    def zone(self) -> tzinfo:
        """The zone of dates that name none."""
        ...

    @property
    def random(self) -> Random:
        """The source of randomness."""
        ...

    def now(self) -> datetime:
        """Return the present, with a zone."""
        ...

    def secret(self, namespace: str, key: str) -> str:
        """Return a secret's whole value and see to it that logs mask it; raise Absent when there is none."""
        ...

    def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
        """Return a value, with `inherited` of the nearest parent namespace too; raise Absent or Expired."""
        ...

    def read_file(self, file: FileAddress) -> bytes:
        """Return a file's content; raise FileNotFoundError, or PermissionError when it must not be read."""
        ...

    def file_size(self, file: FileAddress) -> int:
        """Return a file's size in bytes; raise as read_file does."""
        ...

    def file_exists(self, file: FileAddress) -> bool:
        """Tell whether a file exists; raise PermissionError when it must not be read."""
        ...

    def file_uri(self, file: FileAddress) -> str:
        """Return the storage URI of a namespace file's revision; raise FileNotFoundError when there is none."""
        ...

    def error_logs(self) -> list[Mapping[str, Any]]:
        """Return the error logs of the execution; raise Absent where there are none to ask, outside a worker."""
        ...

    def http(self, request: HttpRequest) -> HttpResponse:
        """Send a request; raise OSError when there is no answer."""
        ...

    def subflow(self, call: SubflowCall) -> SubflowResult:
        """Run a flow to its end; raise Absent when it does not exist, ValueError when it cannot be run."""
        ...

    def free_port(self) -> int:
        """Return a free network port."""
        ...
