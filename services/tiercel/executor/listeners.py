"""Flow triggers in this process: the flows that listen, kept fresh, and the facts that a trigger's decision needs."""

from __future__ import annotations

import logging
from typing import Final

from tiercel.definitions.base import Definitions
from tiercel.errors import InternalError, InvalidFlow
from tiercel.executor.cache import Entry
from tiercel.executor.core import flow_triggers
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Missing, Surroundings
from tiercel.executor.core.listening import Listeners, listens
from tiercel.executor.facts_source import FactsSource
from tiercel.messages.execution_event import UpstreamChanged
from tiercel.model.flow import Flow
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Scope

log = logging.getLogger(__name__)

REREAD_S: Final = 60.0
"""All flows are read again so often, in case that a broadcast was missed."""
PASSES_MAX: Final = 50
"""A decision that still lacks facts after so many rounds asks in circles."""
_WORDS: Final = ("core.trigger.Flow", "triggers.types.Flow")
"""One of them is in the text of every flow with a Flow trigger; most flows need not be parsed."""

Key = tuple[str, str, str]


class FlowListeners:
    """Tells the flows that listen of what happens, and decides for their triggers."""

    def __init__(self, definitions: Definitions, source: FactsSource, around: Surroundings) -> None:
        self._definitions = definitions
        self._source = source
        self._around = around
        self._revisions: dict[Key, int] = {}
        self._flows: dict[Key, Flow] = {}
        self._listeners = Listeners()

    async def refresh(self) -> None:
        """Read all flows again."""
        rows = {(row.tenant_id, row.namespace, row.id): row for row in await self._definitions.active()}
        for key in [key for key in self._revisions if key not in rows]:
            del self._revisions[key]
            self._flows.pop(key, None)
        for key, row in rows.items():
            if self._revisions.get(key) != row.revision:
                self._revisions[key] = row.revision
                if any(word in row.source for word in _WORDS):
                    await self._learn(key)
                else:
                    self._flows.pop(key, None)
        self._listeners = Listeners(self._flows.values())

    async def follow(self, tenant_id: str, namespace: str, flow_id: str) -> None:
        """Read a flow's new revision."""
        key = (tenant_id, namespace, flow_id)
        self._definitions.forget(tenant_id, namespace, flow_id)
        was = self._flows.get(key)
        await self._learn(key)
        if was is not None or key in self._flows:
            self._listeners = Listeners(self._flows.values())

    async def _learn(self, key: Key) -> None:
        try:
            flow = await self._definitions.flow(*key)
        except InvalidFlow as error:
            log.warning(
                "flow cannot be read, its triggers rest: %s",
                error,
                extra={"action": "flow_not_read", "flow": "/".join(key)},
            )
            flow = None
        if flow is not None and listens(flow):
            self._flows[key] = flow
        else:
            self._flows.pop(key, None)

    def told(self, draft: Draft) -> list[Outgoing]:
        """Return what triggers are told of the states that an execution has come into."""
        return self._listeners.told(draft.execution, draft.moves) if draft.moves else []

    async def decide(self, scope: Scope, event: UpstreamChanged, partition: int) -> flow_triggers.Outcome:
        """Decide for a trigger, fetching facts when it asks for them."""
        tenant_id = event.upstream.tenant_id
        plan = await self._source.plan(tenant_id, event.namespace, event.flow_id, None)
        entry = Entry(partition, plan, None)
        facts = entry.facts(self._around)
        for _ in range(PASSES_MAX):
            try:
                return flow_triggers.decide(scope, event, facts)
            except Missing as missing:
                await self._source.fetch(missing.wants, event.upstream.id, tenant_id, entry, facts)
        raise InternalError("The decision still lacks facts after many rounds.")
