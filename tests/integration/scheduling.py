"""What the tests of the scheduler share: adapters in memory, flows, and schedulers that are stepped by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tiercel.definitions.memory import MemoryDefinitions
from tiercel.errors import NotFound
from tiercel.flowspec.parse import parse_flow
from tiercel.messages.execution_event import CreateExecution
from tiercel.messages.topics import EXECUTION_EVENT, TRIGGER_EVENT
from tiercel.messages.trigger_event import TriggerCommand, TriggeredExecutionEnded, TriggerEvent
from tiercel.model.flow import Flow
from tiercel.model.state import State
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import Outgoing
from tiercel.queue.memory import MemoryBackend
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.clock import Clock
from tiercel.scheduler.service import SchedulerService
from tiercel.scheduler.settings import SchedulerSettings
from tiercel.storage.local import LocalStorage
from tiercel.testing.fake_clock import FakeClock

NAMESPACE = "io.kestra.unittest"
TASKS = [{"id": "test", "type": "io.kestra.plugin.core.execution.Labels", "labels": {"ran": "yes"}}]
FOR_EVER_S = 1e9
"""A lease that outlives every jump of the clock."""


class NoSecrets:
    """A secret manager that has none."""

    def get(self, tenant_id: str, namespace: str, key: str) -> str:
        raise NotFound(f"Cannot find secret for key '{key}'.")

    def names(self, tenant_id: str, namespace: str) -> list[str]:
        return []


class World:
    """One backend, its definitions, and the schedulers on it."""

    def __init__(
        self,
        folder: Path,
        start: datetime,
        clock: Clock | None = None,
        *,
        namespace: str = NAMESPACE,
        flow_id: str = "test",
    ) -> None:
        self.fake = FakeClock(start)
        self.clock: Clock = clock or self.fake
        self.namespace, self.flow_id = namespace, flow_id
        self.backend = MemoryBackend(self.clock)
        self.definitions = MemoryDefinitions(self.clock)
        self.adapters = Adapters(
            queue=self.backend,
            storage=LocalStorage(folder),
            secrets=NoSecrets(),
            statestore=self.backend,
            leases=self.backend,
            definitions=self.definitions,
            clock=self.clock,
        )

    async def deploy(self, triggers: list[dict[str, Any]], flow_id: str | None = None, **more: Any) -> None:
        """Store a flow with these triggers, or its next revision."""
        document = {
            "id": flow_id or self.flow_id,
            "namespace": self.namespace,
            **more,
            "tasks": TASKS,
            "triggers": triggers,
        }
        await self.save(parse_flow(yaml.safe_dump(document, sort_keys=False)))

    async def save(self, flow: Flow) -> None:
        """Store a flow, or its next revision."""
        if await self.definitions.flow("main", self.namespace, flow.id) is None:
            await self.definitions.create(flow)
        else:
            await self.definitions.update(flow)

    def scheduler(self, **settings: Any) -> SchedulerService:
        """Make a scheduler that is not started."""
        return SchedulerService(
            self.adapters, SchedulerSettings(**{"lease_ttl_s": FOR_EVER_S, "missed_grace_s": 0.0, **settings})
        )

    async def created(self) -> list[CreateExecution]:
        """Take the create commands that were sent since the last call."""
        parts = range(self.backend.partitions)
        found = await self.backend.read(EXECUTION_EVENT, list(parts), count=100_000, size=1 << 40)
        await self.backend.acknowledge(EXECUTION_EVENT, found, [])
        return [delivery.message for delivery in found if isinstance(delivery.message, CreateExecution)]

    async def send(self, event: TriggerEvent) -> None:
        """Send a trigger event."""
        await self.backend.emit(Outgoing(topic=TRIGGER_EVENT, key=event.trigger_uid, message=event))

    async def end(self, command: CreateExecution, state: State = State.SUCCESS) -> None:
        """Tell the scheduler that an execution has ended."""
        await self.send(
            TriggeredExecutionEnded(
                trigger_uid=uid_of(command), at=self.clock.now(), execution_id=command.execution_id, state=state
            )
        )

    async def command(self, name: str, trigger_id: str = "trigger", flow_id: str | None = None, **data: Any) -> None:
        """Send a person's command."""
        uid = f"main/{self.namespace}/{flow_id or self.flow_id}/{trigger_id}"
        await self.send(TriggerCommand(trigger_uid=uid, at=self.clock.now(), command=name, data=data))

    async def state(self, trigger_id: str = "trigger", flow_id: str | None = None) -> TriggerState | None:
        """Return a trigger's stored state."""
        found = await self.backend.triggers(uids=[f"main/{self.namespace}/{flow_id or self.flow_id}/{trigger_id}"])
        return found[0] if found else None

    async def store(self, trigger_id: str = "trigger", flow_id: str | None = None, **fields: Any) -> None:
        """Write a trigger's state into the store, as an earlier scheduler left it."""
        uid = f"main/{self.namespace}/{flow_id or self.flow_id}/{trigger_id}"
        known = await self.state(trigger_id, flow_id)
        state = known or TriggerState(
            uid=uid,
            namespace=self.namespace,
            flow_id=flow_id or self.flow_id,
            trigger_id=trigger_id,
            flow_revision=1,
            version=0,
        )
        was = known.version if known is not None else None
        state = msgspec.structs.replace(state, version=(was or 0) + 1, **fields)
        async with self.backend.transaction([]) as unit:
            unit.save_trigger(state, 0, was)


def uid_of(command: CreateExecution) -> str:
    """Return the trigger that made a command."""
    assert command.trigger is not None
    return f"{command.tenant_id}/{command.namespace}/{command.flow_id}/{command.trigger.id}"


async def settle(*schedulers: SchedulerService) -> None:
    """Let schedulers work until none has anything to do at this time."""
    while True:
        done = 0
        for scheduler in schedulers:
            done += await scheduler.read_events()
            done += await scheduler.fire()
        if not done:
            return


def crash(scheduler: SchedulerService) -> None:
    """End a scheduler's loops without a word: nothing is given back."""
    for loop in scheduler._loops:
        loop.cancel()


async def begin(*schedulers: SchedulerService) -> None:
    """Start schedulers without their loops: read the flows, share the partitions."""
    for scheduler in schedulers:
        await scheduler.prepare()
    for _ in range(2):
        for scheduler in schedulers:
            await scheduler.renew()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
