"""Flow triggers in this process: the flows that listen, kept fresh, and the facts that a trigger's decision needs."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from tiercel.definitions.base import Definitions
from tiercel.errors import InternalError, InvalidFlow
from tiercel.executor.cache import Entry
from tiercel.executor.core import flow_triggers, misses
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Missing, Surroundings
from tiercel.executor.core.listening import Listeners, key_of, listens
from tiercel.executor.facts_source import FactsSource
from tiercel.messages.execution_event import UpstreamChanged, WindowEnded
from tiercel.model.flow import Flow
from tiercel.plugins.core.trigger.flow import FlowTrigger
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Scope

log = logging.getLogger(__name__)

REREAD_S: Final = 60.0
"""How often all flows are read again, in case a broadcast was missed."""
PASSES_MAX: Final = 50
"""A decision that still lacks facts after so many rounds asks in circles."""
_WORDS: Final = ("core.trigger.Flow", "triggers.types.Flow")
"""One of these is in the text of every flow with a Flow trigger; flows without need not be parsed."""

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
        self._watched: list[tuple[Flow, FlowTrigger]] = []
        self._dues: dict[str, datetime] = {}
        """When a window of each watched trigger is next judged."""

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
        self._index()

    async def follow(self, tenant_id: str, namespace: str, flow_id: str) -> None:
        """Read a flow's new revision."""
        key = (tenant_id, namespace, flow_id)
        self._definitions.forget(tenant_id, namespace, flow_id)
        was = self._flows.get(key)
        await self._learn(key)
        if was is not None or key in self._flows:
            self._index()

    def _index(self) -> None:
        self._listeners = Listeners(self._flows.values())
        self._watched = [(flow, trigger) for flow in self._flows.values() for trigger in misses.watched(flow)]
        # Asked anew, so that a changed window is not waited for in vain.
        self._dues.clear()

    async def _learn(self, key: Key) -> None:
        try:
            flow = await self._definitions.published(*key)
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

    def ended(self, now: datetime) -> list[WindowEnded]:
        """Return the questions about windows that have ended since the last call, each once."""
        if not self._watched:
            return []
        found = []
        for flow, trigger in self._watched:
            key = key_of(flow, trigger)
            due = self._dues.get(key, now)
            if due <= now:
                self._dues[key] = misses.next_end(trigger, now)
                found.append(misses.event_of(flow, trigger, now))
        return found

    def judge_again(self) -> None:
        """Ask about all windows at once: partitions have come, and what their owner has judged is not known here."""
        self._dues.clear()

    async def decide(self, scope: Scope, event: UpstreamChanged | WindowEnded, partition: int) -> flow_triggers.Outcome:
        """Decide for a trigger, fetching facts when it asks for them."""
        if isinstance(event, WindowEnded):
            tenant_id, subject = event.tenant_id, event.execution_id
        else:
            tenant_id, subject = event.upstream.tenant_id, event.upstream.id
        plan = await self._source.plan(tenant_id, event.namespace, event.flow_id, None)
        entry = Entry(partition, plan, None)
        facts = entry.facts(self._around)
        for _ in range(PASSES_MAX):
            try:
                if isinstance(event, WindowEnded):
                    return flow_triggers.judge(scope, event, facts)
                return flow_triggers.decide(scope, event, facts)
            except Missing as missing:
                await self._source.fetch(missing.wants, subject, tenant_id, entry, facts)
        raise InternalError("The decision still lacks facts after many rounds.")
