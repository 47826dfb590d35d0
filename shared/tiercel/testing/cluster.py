"""
Services on adapters in memory: an installation in one event loop, for tests of flows and of services.

The kit knows no service: who uses it says which ones are made of the adapters. On the loop of
`tiercel.testing.virtual_time` hours of retries and pauses take milliseconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tiercel.definitions.memory import MemoryDefinitions
from tiercel.flowspec.parse import parse_flow
from tiercel.messages.execution_event import CreateExecution
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model.flow import Flow
from tiercel.model.ids import new_id
from tiercel.queue.base import Outgoing
from tiercel.queue.memory import MemoryBackend
from tiercel.repository.memory import MemoryRepository
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.clock import Clock
from tiercel.runtime.service import Service
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.statestore.base import Loaded
from tiercel.storage.local import LocalStorage
from tiercel.testing.virtual_time import LoopClock

POLL_S = 0.01
"""Between two looks, in virtual time."""


class MemoryCluster:
    """An installation; `async with` starts its services and stops them, the last one first."""

    def __init__(
        self,
        folder: Path,
        make: Callable[[Adapters], Sequence[Service]],
        *,
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or LoopClock()
        self.backend = MemoryBackend(clock=self.clock)
        self.definitions = MemoryDefinitions(self.clock)
        self.repository = MemoryRepository()
        self.storage = LocalStorage(folder / "storage", durable=False)
        self.adapters = Adapters(
            queue=self.backend,
            storage=self.storage,
            secrets=EnvironmentSecrets(environment or {}),
            statestore=self.backend,
            leases=self.backend,
            definitions=self.definitions,
            repository=self.repository,
            clock=self.clock,
        )
        self.services = tuple(make(self.adapters))
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> MemoryCluster:
        async with self._stack:
            for service in self.services:
                await self._stack.enter_async_context(service)
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def deploy(self, source: str) -> Flow:
        """Store a flow's text as its first revision."""
        return await self.definitions.create(parse_flow(source))

    async def execute(self, flow: Flow, inputs: Mapping[str, Any] | None = None) -> str:
        """Start an execution with inputs that have their types already; return its id."""
        execution_id = new_id(self.clock.now())
        event = CreateExecution(
            execution_id=execution_id,
            at=self.clock.now(),
            tenant_id=flow.tenant_id,
            namespace=flow.namespace,
            flow_id=flow.id,
            flow_revision=flow.revision or 1,
            inputs=dict(inputs) if inputs is not None else None,
            labels=tuple(flow.labels.items()),
        )
        await self.backend.emit(Outgoing(topic=EXECUTION_EVENT, key=execution_id, message=event))
        return execution_id

    async def ended(self, execution_id: str, timeout_s: float = 60.0) -> Loaded:
        """Return an execution when it has ended; raise TimeoutError when it has not by then."""
        waited = 0.0
        while waited < timeout_s:
            loaded = (await self.backend.load([execution_id])).get(execution_id)
            if loaded is not None and loaded.head.execution.state.is_terminated:
                return loaded
            await self.clock.sleep(POLL_S)  # the memory store tells nobody; virtual time costs nothing
            waited += POLL_S
        raise TimeoutError(f"Execution '{execution_id}' has not ended within {timeout_s:g} s.")
