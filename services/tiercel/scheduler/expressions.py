"""
Expressions in the scheduler: what they ask of the world is fetched between two attempts at the same decision.

The core renders synchronously. When a secret, a value or a file is not at hand, the host raises `Needed`; it passes
through the core, is fetched here, and the decision is made again with the same time and everything known so far.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NamedTuple, TypeVar

from tiercel.condition.evaluate import Render
from tiercel.errors import ExpressionError, NotFound
from tiercel.expression.host import Absent, Expired, FileAddress, HttpRequest, HttpResponse, SubflowCall, SubflowResult
from tiercel.expression.rendering import Engine, Renderer
from tiercel.model.flow import Dialect, Flow
from tiercel.runtime.adapters import Adapters
from tiercel.storage import uris
from tiercel.storage.keyvalues import KeyExpired, StorageKeyValues
from tiercel.storage.namespace_files import revision_path

T = TypeVar("T")
FETCHES_MAX: Final = 100
"""Things that one decision may ask for, one after the other."""
NOT_HERE: Final = "This can only be asked while a task runs in a worker."


class Want(NamedTuple):
    """One thing that an expression asks for: its sort and what names it."""

    sort: str
    key: tuple[Any, ...]


class Needed(Exception):
    """The decision needs this first."""

    def __init__(self, want: Want) -> None:
        super().__init__(str(want))
        self.want = want


class KnownHost:
    """Answers from what was fetched, and asks for the rest."""

    def __init__(self, known: Mapping[Want, Any], at: datetime, zone: tzinfo) -> None:
        self._known = known
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

    def _ask(self, sort: str, *key: Any) -> Any:
        want = Want(sort, key)
        if want not in self._known:
            raise Needed(want)
        value = self._known[want]
        if isinstance(value, Exception):
            raise value
        return value

    def secret(self, namespace: str, key: str) -> str:
        return str(self._ask("secret", namespace, key))

    def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
        return self._ask("kv", namespace, key, inherited)

    def read_file(self, file: FileAddress) -> bytes:
        content: bytes = self._ask("file", file)
        return content

    def file_size(self, file: FileAddress) -> int:
        return int(self._ask("file_size", file))

    def file_exists(self, file: FileAddress) -> bool:
        return bool(self._ask("file_exists", file))

    def file_uri(self, file: FileAddress) -> str:
        return f"kestra://{uris.namespace_file(file.namespace, file.path)}"

    def error_logs(self) -> list[Mapping[str, Any]]:
        raise Absent(NOT_HERE)

    def http(self, request: HttpRequest) -> HttpResponse:
        raise OSError(NOT_HERE)

    def subflow(self, call: SubflowCall) -> SubflowResult:
        raise Absent(NOT_HERE)

    def free_port(self) -> int:
        raise OSError(NOT_HERE)


class Expressions:
    """Makes decisions that render expressions."""

    def __init__(self, adapters: Adapters, zone: tzinfo = UTC, *, recursive: bool = False) -> None:
        self._storage = adapters.storage
        self._secrets = adapters.secrets
        self._clock = adapters.clock
        self._zone = zone
        self._engines = {
            Dialect.V1: Engine(dialect="1.x", recursive=recursive),
            Dialect.V2: Engine(dialect="2.x", recursive=recursive),
        }

    async def decided(self, flow: Flow | None, at: datetime, decision: Callable[[Render], T]) -> T:
        """Make a decision about a flow, as often as it takes to know everything that it asks for."""
        return await self.rendered(flow, at, lambda renderer: decision(renderer.render))

    async def rendered(self, flow: Flow | None, at: datetime, decision: Callable[[Renderer], T]) -> T:
        """Make a decision that needs more of the renderer than texts."""
        engine = self._engines[flow.dialect if flow is not None else Dialect.V2]
        tenant_id = flow.tenant_id if flow is not None else "main"
        known: dict[Want, Any] = {}
        for _ in range(FETCHES_MAX):
            try:
                return decision(Renderer(engine, KnownHost(known, at, self._zone)))
            except Needed as question:
                known[question.want] = await self._answer(question.want, tenant_id)
        raise ExpressionError(f"An expression asks for more than {FETCHES_MAX} secrets, values and files.")

    async def _answer(self, want: Want, tenant_id: str) -> Any:
        try:
            return await self._fetched(want, tenant_id)
        except KeyExpired as error:
            return Expired(str(error))
        except NotFound as error:
            return FileNotFoundError(str(error)) if want.sort.startswith("file") else Absent(str(error))

    async def _fetched(self, want: Want, tenant_id: str) -> Any:
        match want.sort, want.key:
            case "secret", (str() as namespace, str() as key):
                return await asyncio.to_thread(self._secrets.get, tenant_id, namespace, key)
            case "kv", (str() as namespace, str() as key, bool() as inherited):
                values = StorageKeyValues(self._storage, tenant_id, self._clock)
                return await (values.find(namespace, key) if inherited else values.get(namespace, key))
            case sort, (FileAddress() as file,):
                return await self._file(sort, file, tenant_id)
        raise AssertionError(f"Nobody answers the question {want}.")

    async def _file(self, sort: str, file: FileAddress, tenant_id: str) -> Any:
        if file.scheme == "file":
            return PermissionError("Files of a disk can only be read while a task runs in a worker.")
        uri = f"kestra:///{file.path.lstrip('/')}"
        if file.scheme == "nsfile":
            uri = await revision_path(self._storage, tenant_id, file.namespace, file.path, file.revision)
        match sort:
            case "file":
                return await self._storage.read(tenant_id, uri)
            case "file_size":
                return (await self._storage.attributes(tenant_id, uri)).size
            case _:
                return await self._storage.exists(tenant_id, uri)
