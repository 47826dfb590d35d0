"""
Expressions outside of tasks and decisions: of triggers in the scheduler, of inputs, webhooks and previews in the API.

Rendering is synchronous. A secret, a value or a file that is not at hand is fetched, and the work is done again with
the same time and everything known so far.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, TypeVar

from tiercel.errors import ExpressionError, NotFound, Refused
from tiercel.expression.asking import Asked, AskingHost
from tiercel.expression.host import Absent, Expired, FileAddress, HttpRequest, HttpResponse, SubflowCall, SubflowResult
from tiercel.expression.rendering import Engine, Renderer
from tiercel.model.flow import Dialect
from tiercel.runtime.adapters import Adapters
from tiercel.storage import uris
from tiercel.storage.keyvalues import KeyExpired, StorageKeyValues
from tiercel.storage.namespace_files import revision_path

T = TypeVar("T")
FETCHES_MAX: Final = 100
"""Things that one rendering may ask for, one after the other."""
FILE_MAX: Final = 16 << 20
"""Bytes of a file that an expression may read here."""
NOT_HERE: Final = "This can only be asked while a task runs in a worker."
REQUESTS_MAX: Final = 20
"""Requests to other services that one rendering may send, one after the other."""
SendHttp = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Sends a request; raises OSError when there is no answer."""
RunSubflow = Callable[[str, SubflowCall], Awaitable[SubflowResult]]
"""Runs a flow of a tenant to its end; raises NotFound, or ValueError when it cannot be run."""


class KnownHost(AskingHost):
    """What expressions see outside of tasks, at a time that stands still."""

    __slots__ = ("_at", "_random", "_zone")

    def __init__(self, known: dict[str, Any], at: datetime, zone: tzinfo = UTC) -> None:
        super().__init__(known)
        self._at = at
        self._zone = zone
        self._random = random.Random(at.timestamp())

    @property
    def zone(self) -> tzinfo:
        return self._zone

    @property
    def random(self) -> random.Random:
        return self._random

    def now(self) -> datetime:
        return self._at.astimezone(self._zone)

    def file_uri(self, file: FileAddress) -> str:
        return uris.uri(uris.namespace_file(file.namespace, file.path))

    def error_logs(self) -> list[Mapping[str, Any]]:
        raise Absent(NOT_HERE)

    def free_port(self) -> int:
        raise OSError(NOT_HERE)


class Expressions:
    """Does work that renders; only with `run_subflow` an expression may run a flow, with `send_http` ask a service."""

    def __init__(
        self,
        adapters: Adapters,
        zone: tzinfo = UTC,
        *,
        recursive: bool = False,
        run_subflow: RunSubflow | None = None,
        send_http: SendHttp | None = None,
    ) -> None:
        self._storage, self._secrets, self._clock = adapters.storage, adapters.secrets, adapters.clock
        self._zone = zone
        self._run_subflow = run_subflow
        self._send_http = send_http
        self._engines = {
            Dialect.V1: Engine(dialect="1.x", recursive=recursive),
            Dialect.V2: Engine(dialect="2.x", recursive=recursive),
        }

    async def rendered(
        self,
        tenant_id: str,
        dialect: Dialect,
        work: Callable[[Renderer], T],
        *,
        at: datetime | None = None,
        mask_secrets: bool = False,
    ) -> T:
        """Do the work as often as it takes to know everything that it asks for; `at` is the present that it sees."""
        known: dict[str, Any] = {}
        at = at if at is not None else self._clock.now()
        for _ in range(FETCHES_MAX):
            host = KnownHost(known, at, self._zone)
            try:
                return work(Renderer(self._engines[dialect], host, mask_secrets=mask_secrets))
            except Asked as question:
                if question.sort == "http" and sum(key.startswith("http(") for key in known) >= REQUESTS_MAX:
                    raise ExpressionError(f"An expression sends more than {REQUESTS_MAX} requests.") from None
                known[question.key] = await self._answer(question, tenant_id)
        raise ExpressionError(f"An expression asks for more than {FETCHES_MAX} secrets, values and files.")

    async def _answer(self, question: Asked, tenant_id: str) -> Any:
        """Return what is wanted, or the error that the expression meets in its place."""
        try:
            return await self._fetched(question, tenant_id)
        except KeyExpired as error:
            return Expired(str(error))
        except ValueError as error:
            return error
        except NotFound as error:
            return FileNotFoundError(str(error)) if question.sort.startswith("file") else Absent(str(error))
        except Refused as error:
            # What an expression names and must not be read is its author's concern, not who calls.
            return PermissionError(str(error)) if question.sort.startswith("file") else ExpressionError(str(error))

    async def _fetched(self, question: Asked, tenant_id: str) -> Any:
        match question.sort, question.about:
            case "secret", (str() as namespace, str() as key):
                return await asyncio.to_thread(self._secrets.get, tenant_id, namespace, key)
            case "kv", (str() as namespace, str() as key, bool() as inherited):
                values = StorageKeyValues(self._storage, tenant_id, self._clock)
                return await (values.find(namespace, key) if inherited else values.get(namespace, key))
            case "subflow", (SubflowCall() as call,):
                if self._run_subflow is None:
                    return ValueError(NOT_HERE)
                return await self._run_subflow(tenant_id, call)
            case "http", (HttpRequest() as request,):
                return await self._sent(request)
            case sort, (FileAddress() as file,):
                return await self._file(sort, file, tenant_id)
        raise AssertionError(f"Nobody answers the question {question.key}.")

    async def _sent(self, request: HttpRequest) -> HttpResponse | OSError:
        if self._send_http is None:
            return OSError(NOT_HERE)
        try:
            return await self._send_http(request)
        except OSError as error:
            return error

    async def _file(self, sort: str, file: FileAddress, tenant_id: str) -> Any:
        if file.scheme == "file":
            return PermissionError("Files of a disk can only be read while a task runs in a worker.")
        uri = uris.uri(file.path)
        if file.scheme == "nsfile":
            uri = await revision_path(self._storage, tenant_id, file.namespace, file.path, file.revision)
        match sort:
            case "file":
                return await self._storage.read(tenant_id, uri, limit=FILE_MAX)
            case "file_size":
                return (await self._storage.attributes(tenant_id, uri)).size
            case _:
                return await self._storage.exists(tenant_id, uri)
