"""The flows that have triggers of the scheduler's, and the plans of these triggers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from tiercel.definitions.base import Definitions
from tiercel.errors import FlowAuthorError, InvalidFlow
from tiercel.model.flow import Flow
from tiercel.runtime.clock import Clock
from tiercel.scheduler.core.plan import Surroundings, TriggerPlan, plan_of, scheduled, trigger_uid
from tiercel.scheduler.expressions import Expressions

log = logging.getLogger(__name__)


class Catalogue:
    """Knows the last revision of every flow with scheduled triggers; flows are parsed once per revision."""

    def __init__(self, definitions: Definitions, expressions: Expressions, around: Surroundings, clock: Clock) -> None:
        self._definitions = definitions
        self._expressions = expressions
        self._around = around
        self._clock = clock
        self._revisions: dict[str, int] = {}
        self._flows: dict[str, Flow] = {}
        self._plans: dict[str, dict[str, TriggerPlan | None]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._flows))

    async def refresh(self) -> list[str]:
        """Read all flows again; return the keys of those that changed, came or went."""
        rows = {f"{row.tenant_id}/{row.namespace}/{row.id}": row for row in await self._definitions.active()}
        changed = [key for key, row in rows.items() if self._revisions.get(key) != row.revision]
        gone = [key for key in self._revisions if key not in rows]
        for key in changed:
            row = rows[key]
            # The word must be there if there are triggers; most flows need not be parsed.
            if "triggers" in row.source:
                await self.learn(row.tenant_id, row.namespace, row.id)
            else:
                self._forget(key)
            self._revisions[key] = row.revision
        for key in gone:
            self._forget(key)
            del self._revisions[key]
        return [*changed, *gone]

    async def learn(self, tenant_id: str, namespace: str, flow_id: str) -> str:
        """Read what is published of a flow; return its key."""
        key = f"{tenant_id}/{namespace}/{flow_id}"
        try:
            flow = await self._definitions.published(tenant_id, namespace, flow_id)
        except InvalidFlow as error:
            log.warning(
                "flow cannot be read, its triggers rest: %s", error, extra={"action": "flow_not_read", "flow": key}
            )
            flow = None
        if flow is None:
            self._forget(key)
            self._revisions.pop(key, None)
            return key
        self._revisions[key] = flow.revision or 0
        known = self._flows.get(key)
        if known is not None and known.revision == flow.revision:
            return key
        self._forget(key)
        if scheduled(flow):
            self._flows[key] = flow
        return key

    async def plans(self, key: str) -> dict[str, TriggerPlan | None]:
        """Return the plans of a flow's triggers by their keys; None for one that can never fire."""
        flow = self._flows.get(key)
        if flow is None:
            return {}
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = {}
            for place, trigger, kind in scheduled(flow):
                uid = trigger_uid(flow, trigger.id)
                make = partial(plan_of, flow, place, kind, self._around)
                try:
                    found[uid] = await self._expressions.decided(flow, self._clock.now(), make)
                except FlowAuthorError as error:
                    found[uid] = None
                    log.warning(
                        "trigger cannot be scheduled: %s",
                        error,
                        extra={"action": "trigger_not_scheduled", "trigger": uid, "revision": flow.revision},
                    )
        return found

    def _forget(self, key: str) -> None:
        self._flows.pop(key, None)
        self._plans.pop(key, None)
