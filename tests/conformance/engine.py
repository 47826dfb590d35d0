"""
The engine as the runner sees it: adapters to look into it, the API to act on it, and the present.

It is the same class for the cluster in memory and for real processes on a database: what differs is how it is made
(`tests.conformance.memory`, `tests.conformance.postgres`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tests.conformance.result import Mismatch
from tests.conformance.snapshot import Snapshot
from tiercel.definitions.base import Definitions
from tiercel.executor.core.facts import Ignored
from tiercel.messages.execution_event import CreateExecution, ExecutionEvent
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY
from tiercel.model.execution import Execution, LogEntry, OutputRef
from tiercel.model.flow import Flow
from tiercel.queue.base import Outgoing, Queue
from tiercel.repository.base import Page, Repository, Sort
from tiercel.repository.filter import Field, Filter, Op
from tiercel.runtime.clock import Clock
from tiercel.statestore.base import Loaded, StateStore
from tiercel.storage.base import Storage
from tiercel.webserver.context import ApiContext

SETTLE_LOOK_S = 0.02
"""Between two looks whether history has been written down."""

KINDS = ("NORMAL", "TEST", "PLAYGROUND", "LOOP")


@dataclasses.dataclass(kw_only=True)
class Engine:
    """A running installation."""

    queue: Queue
    statestore: StateStore
    definitions: Definitions
    repository: Repository
    storage: Storage
    clock: Clock
    http: httpx.AsyncClient
    api: ApiContext
    """What the webserver's handlers work with, for what a test harness does in their place."""
    tenant: str = "main"
    encryption_key: str | None = None
    ignored: Callable[[Ignored], None] | None = None
    """Sets the installation's ignore list, where the runner can reach it."""
    scratch: Path = Path("/tmp")
    stub_url: str = ""
    stub_bodies: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    unsent_s: float = 0.0
    """How long history may wait for company before it is in its topic."""
    localize: Callable[[Any], Any] = lambda value: value
    """Turns public addresses into those of the stub."""

    async def emit(self, event: ExecutionEvent) -> None:
        """Send an event to its execution."""
        await self.queue.emit(Outgoing(topic=EXECUTION_EVENT, key=event.execution_id, message=event))

    async def start(
        self, namespace: str, flow_id: str, execution_id: str, variables: Mapping[str, Any] | None = None
    ) -> None:
        """Create an execution of a flow's first revision."""
        await self.emit(
            CreateExecution(
                execution_id=execution_id,
                at=self.now(),
                tenant_id=self.tenant,
                namespace=namespace,
                flow_id=flow_id,
                flow_revision=1,
                variables=variables or {},
            )
        )

    async def flow(self, namespace: str, flow_id: str, revision: int | None = None) -> Flow:
        """Return a deployed flow; raise Mismatch when it is unknown."""
        flow = await self.definitions.flow(self.tenant, namespace, flow_id, revision)
        if flow is None:
            raise Mismatch(f"The flow {namespace}/{flow_id} is not deployed.")
        return flow

    async def head(self, execution_id: str) -> tuple[Execution, bool] | None:
        """Return an execution without its task runs, and whether everything of it has ended; None when unknown."""
        loaded = (await self.statestore.load([execution_id])).get(execution_id)
        if loaded is not None:
            return None if loaded.head.execution.deleted else (loaded.head.execution, _is_done(loaded))
        execution = await self.repository.execution(self.tenant, execution_id)
        return (execution, execution.state.is_terminated) if execution is not None else None

    async def snapshot(self, execution_id: str) -> Snapshot | None:
        """Return an execution with its task runs and outputs; None when it is unknown."""
        loaded = (await self.statestore.load([execution_id])).get(execution_id)
        if loaded is None:
            return await self._from_history(execution_id)
        if loaded.head.execution.deleted:
            return None
        runs = await self.statestore.runs(execution_id)
        records = await self.statestore.outputs(execution_id)
        outputs = {record.seq: await self._value(record.ref) for record in records}
        tree: dict[str, Any] = {}
        for record in records:
            _plant(tree, (record.task_id, *record.path), outputs[record.seq])
        for run in runs:
            tree.setdefault(run.run.task_id, {})
        loop = loaded.head.execution.loop_run
        execution = loaded.head.execution
        for around in loop.executions if loop is not None else ():
            begun = {each.run.seq: each.run.history[0].date for each in await self.statestore.runs(around)}
            for record in await self.statestore.outputs(around):
                if execution.state.is_terminated and begun[record.seq] > execution.history[-1].date:
                    continue
                _plant(tree, (record.task_id, *record.path), await self._value(record.ref))
        return Snapshot(loaded.head.execution, [record.run for record in runs], outputs, tree)

    async def _from_history(self, execution_id: str) -> Snapshot | None:
        execution = await self.repository.execution(self.tenant, execution_id)
        if execution is None:
            return None
        runs = await self.repository.runs(self.tenant, execution_id)
        references = await self.repository.outputs(self.tenant, execution_id)
        outputs = {seq: await self._value(ref) for seq, ref in references.items()}
        return Snapshot(execution, runs, outputs)

    async def _value(self, ref: OutputRef) -> dict[str, Any]:
        if ref.value is not None:
            return ref.value
        assert ref.uri is not None
        found = msgspec.json.decode(await self.storage.read(self.tenant, ref.uri))
        return dict(found)

    async def executions(
        self, namespace: str | None = None, flow_id: str | None = None, parent_id: str | None = None
    ) -> list[Execution]:
        """Return executions of a flow, or of a parent, the oldest first; all kinds."""
        filters = [Filter(field=Field.KIND, op=Op.IN, value=KINDS)]
        if namespace is not None:
            filters.append(Filter(field=Field.NAMESPACE, value=namespace))
        if flow_id is not None:
            filters.append(Filter(field=Field.FLOW_ID, value=flow_id))
        if parent_id is not None:
            filters.append(Filter(field=Field.PARENT_ID, value=parent_id))
        page = Page(size=500, sort=(Sort(field="state.startDate"),), total=False)
        found = await self.repository.search(self.tenant, filters, page)
        return sorted(found.results, key=lambda one: (one.history[0].date, one.id))

    async def logs(self, execution_id: str) -> list[LogEntry]:
        """Return the log lines of an execution, in order of time."""
        filters = [Filter(field=Field.EXECUTION_ID, value=execution_id)]
        found = await self.repository.logs(self.tenant, filters, Page(size=1000, total=False))
        return found.results

    async def settle(self, seconds: float = 5.0) -> None:
        """Wait until the history has been written down: lists and searches show it from then on."""
        deadline = self.now() + timedelta(seconds=seconds)
        if self.unsent_s:
            await self.sleep(self.unsent_s)  # the sender tells nobody when it sends
        while self.now() < deadline:
            if not any(depth.messages for depth in await self.queue.depths() if depth.topic == HISTORY.name):
                return
            await self.sleep(SETTLE_LOOK_S)  # depths tell nobody when they change

    def now(self) -> datetime:
        """Return the present of the engine."""
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)  # what the case asks for


def _is_done(loaded: Loaded) -> bool:
    """Tell whether an execution and all of its task runs have ended, those after its end too."""
    if not loaded.head.execution.state.is_terminated:
        return False
    return bool(getattr(loaded.head, "done", True)) and all(run.run.state.is_terminated for run in loaded.runs)


def _plant(tree: dict[str, Any], path: Sequence[str], value: Mapping[str, Any]) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree.setdefault(path[-1], {}).update(value)
