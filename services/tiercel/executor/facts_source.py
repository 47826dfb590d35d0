"""Where facts come from: the shell's answers to what a decision is missing."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from tiercel.definitions.base import Definitions
from tiercel.errors import (
    CallerError,
    ExpressionError,
    FlowAuthorError,
    InternalError,
    InvalidFlow,
    NotFound,
    OperatorError,
    Unavailable,
)
from tiercel.executor.cache import Entry
from tiercel.executor.core.facts import Facts, Failure, Lanes, Want
from tiercel.executor.core.plan import FlowPlan
from tiercel.executor.value_files import ValueFiles
from tiercel.expression.host import Absent, Expired, FileAddress
from tiercel.flowspec import template
from tiercel.flowspec.findings import NewerRules
from tiercel.flowspec.parse import Outside, check_document
from tiercel.model.execution import OutputRef
from tiercel.model.flow import Flow
from tiercel.model.live import OutputKind
from tiercel.runtime.adapters import Adapters
from tiercel.statestore.base import StateStore
from tiercel.storage.claimcheck import check_out
from tiercel.storage.keyvalues import KeyExpired, StorageKeyValues
from tiercel.storage.namespace_files import revision_path

PLANS_MAX = 2000
"""Plans that stay in memory; beyond this the oldest is dropped, and made anew when somebody asks for it."""
NOBODY_HEARD = partial(Lanes, frozenset(), is_whole=False)
SECRET_THREADS_MAX = 16
"""Secrets that are asked for at a time, in threads of their own: a manager that hangs must not stop files."""


class FactsSource:
    """Fetches facts by their want."""

    def __init__(self, adapters: Adapters, served: Callable[[], Lanes] = NOBODY_HEARD) -> None:
        self._served = served
        assert adapters.statestore is not None
        assert adapters.definitions is not None
        self._store: StateStore = adapters.statestore
        self._definitions: Definitions = adapters.definitions
        self._storage = adapters.storage
        self._secrets = adapters.secrets
        self._clock = adapters.clock
        self._value_files = ValueFiles(self._storage)
        self._threads = ThreadPoolExecutor(SECRET_THREADS_MAX, thread_name_prefix="secret")
        self._plans: OrderedDict[tuple[str, str, str, int], FlowPlan] = OrderedDict()

    async def plan(self, tenant_id: str, namespace: str, flow_id: str, revision: int | None) -> FlowPlan | None:
        """Return a flow's plan; None when the flow (or the revision) does not exist or cannot be read."""
        key = (tenant_id, namespace, flow_id, revision or 0)
        found = self._plans.get(key) if revision is not None else None
        if found is not None:
            self._plans.move_to_end(key)
            return found
        try:
            if revision is None:
                flow = await self._definitions.published(tenant_id, namespace, flow_id)
            else:
                flow = await self._definitions.flow(tenant_id, namespace, flow_id, revision, deleted=True)
        except InvalidFlow:
            return None
        if flow is None:
            return None
        if any(template.wanted(flow.document)):
            # What a template holds may change: such a plan is made anew for each execution.
            return FlowPlan(await self._with_templates(flow))
        key = (tenant_id, namespace, flow_id, flow.revision or 0)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = FlowPlan(flow)
            while len(self._plans) > PLANS_MAX:
                self._plans.popitem(last=False)
        return found

    async def _with_templates(self, flow: Flow) -> Flow:
        """Return a flow with the templates that it names in their places; unknown ones leave theirs empty."""
        known: dict[template.Name, dict[str, Any] | None] = {}
        document: Any = flow.document
        for _ in range(template.DEPTH_MAX):
            names = [name for name in dict.fromkeys(template.wanted(document)) if name not in known]
            if not names:
                break
            for name in names:
                known[name] = await self._template(flow.tenant_id, *name)
            document = template.injected(document, known)
        outside = Outside(
            tenant_id=flow.tenant_id,
            revision=flow.revision,
            strict=False,
            newer_rules=NewerRules.WARN,
            judges_constants=False,
        )
        found = check_document(document, outside).flow
        return flow if found is None else msgspec.structs.replace(found, dialect=flow.dialect, source=flow.source)

    async def _template(self, tenant_id: str, namespace: str, template_id: str) -> dict[str, Any] | None:
        try:
            content = await self._storage.read(tenant_id, template.place_of(namespace, template_id))
            return template.read_template(content.decode())
        except (NotFound, InvalidFlow):
            return None

    async def fetch(self, wants: Iterable[Want], execution_id: str, tenant_id: str, entry: Entry, facts: Facts) -> None:
        """Add facts to what a decision knows; what cannot be had becomes a Failure that the decision raises."""
        for want in wants:
            if want.sort == "outputs":
                records = await self._store.outputs(execution_id, task_ids=[want.key[0]])
                entry.learn(want.key[0], records)
                if entry.aggregate is not None:
                    facts.outputs = entry.index
            elif want.sort == "runs":
                facts.runs = await self._store.runs(execution_id)
            else:
                facts.known[want] = await self.answer(want, execution_id, tenant_id, entry)

    async def answer(self, want: Want, execution_id: str, tenant_id: str, entry: Entry | None = None) -> Any:
        """Return one fact, or a Failure; raise Unavailable while it cannot be asked for."""
        try:
            return await self._ask(want, execution_id, tenant_id, entry)
        except (Absent, OSError, NotFound) as error:
            failure = FileNotFoundError(str(error)) if want.sort.startswith("file") else Absent(str(error))
            return Failure(error if isinstance(error, Absent | OSError) else failure)
        except FlowAuthorError as error:
            return Failure(error)
        except CallerError as error:
            # What an expression or a property named must not be read: its author named it.
            message = str(error)
            return Failure(PermissionError(message) if want.sort.startswith("file") else ExpressionError(message))
        except OperatorError as error:
            if isinstance(error, Unavailable):
                raise
            return Failure(error)

    async def _ask(self, want: Want, execution_id: str, tenant_id: str, entry: Entry | None) -> Any:
        match want.sort, want.key:
            case "values", (int() as seq,) if entry is not None:
                records = await self._store.outputs(execution_id, seqs=[seq], kind=OutputKind.VALUES)
                entry.values[seq] = await self._values(tenant_id, records[0].ref) if records else []
                return entry.values[seq]
            case "lanes", ():
                return self._served()
            case "output_names", ():
                return list(dict.fromkeys(record.task_id for record in await self._store.outputs(execution_id)))
            case "all_outputs", ():
                return await self._store.outputs(execution_id)
            case "pages", seqs:
                return await self._store.outputs(execution_id, seqs=list(seqs), kind=OutputKind.PAGE)
            case "outer", (str() as outer_id, str() as task_id):
                return list(await self._store.outputs(outer_id, task_ids=[task_id]))
            case "outer_names", (str() as outer_id,):
                return list(dict.fromkeys(record.task_id for record in await self._store.outputs(outer_id)))
            case "runs_of", (str() as upstream_id,):
                return await self._store.runs(upstream_id)
            case "row_count", (str() as uri,):
                return await self._value_files.count(tenant_id, uri)
            case "rows", (str() as uri, int() as window):
                return await self._value_files.window(tenant_id, uri, window)
            case "stored", (str() as uri, bytes() as content):
                return await self._storage.put(tenant_id, uri, content)
            case "large", (str() as uri,):
                return msgspec.json.decode(await self._storage.read(tenant_id, uri))
            case "flow", (str() as namespace, str() as flow_id, revision):
                return await self.plan(tenant_id, namespace, flow_id, revision)
            case "secret", (str() as namespace, str() as key):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, self._secrets.get, tenant_id, namespace, key)
            case "kv", (str() as namespace, str() as key, bool() as inherited):
                return await self._kv(tenant_id, namespace, key, inherited)
            case _:
                return await self._file(want, tenant_id)

    async def _values(self, tenant_id: str, ref: OutputRef) -> list[str]:
        found = ref.value if ref.uri is None else await check_out(self._storage, tenant_id, ref.uri, ref.digest)
        values: list[str] = (found or {})["values"]
        return values

    async def _kv(self, tenant_id: str, namespace: str, key: str, inherited: bool) -> Any:
        values = StorageKeyValues(self._storage, tenant_id, self._clock)
        try:
            return await (values.find(namespace, key) if inherited else values.get(namespace, key))
        except KeyExpired as error:
            return Failure(Expired(str(error)))

    async def _file(self, want: Want, tenant_id: str) -> Any:
        address = want.key[0] if want.key else None
        if not isinstance(address, FileAddress):
            raise InternalError(f"Nobody answers the question {want.sort}{want.key}.")
        if address.scheme == "file":
            raise Absent("Files of a disk can only be read while a task runs in a worker.")
        uri = f"kestra:///{address.path.lstrip('/')}"
        if address.scheme == "nsfile":
            uri = await revision_path(self._storage, tenant_id, address.namespace, address.path, address.revision)
        match want.sort:
            case "file":
                return await self._storage.read(tenant_id, uri)
            case "file_size":
                return (await self._storage.attributes(tenant_id, uri)).size
            case "file_exists":
                return await self._storage.exists(tenant_id, uri)
            case _:
                return uri
