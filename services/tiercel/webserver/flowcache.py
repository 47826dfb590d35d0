"""
Published revisions of flows, kept for the requests that come most often.

An entry is dropped when any process says that the flow has changed; because such a message can be late by a moment,
an entry also grows old.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from tiercel.definitions.base import Definitions
from tiercel.messages.broadcast import FlowUpdated
from tiercel.messages.topics import BROADCAST
from tiercel.model.flow import Flow
from tiercel.queue.base import Queue
from tiercel.runtime.clock import Clock

log = logging.getLogger(__name__)

AGE_MAX_S: Final = 5.0
"""A change of which no broadcast was heard is seen within this time."""
FLOWS_MAX: Final = 2000
"""Flows that stay in memory; beyond this the one that was read longest ago is dropped."""

Key = tuple[str, str, str]


class FlowCache:
    """Answers for the published revision of a flow without asking the database each time."""

    def __init__(self, definitions: Definitions, clock: Clock) -> None:
        self._definitions, self._clock = definitions, clock
        self._flows: OrderedDict[Key, tuple[float, Flow]] = OrderedDict()

    async def flow(self, tenant_id: str, namespace: str, flow_id: str) -> Flow | None:
        """Return what is published of a flow, None when nothing is or it is deleted."""
        key, now = (tenant_id, namespace, flow_id), self._clock.now().timestamp()
        known = self._flows.get(key)
        if known is not None and now - known[0] < AGE_MAX_S:
            return known[1]
        flow = await self._definitions.published(tenant_id, namespace, flow_id)
        if flow is None:
            self._flows.pop(key, None)
            return None
        self._flows[key] = (now, flow)
        self._flows.move_to_end(key)
        if len(self._flows) > FLOWS_MAX:
            self._flows.popitem(last=False)
        return flow

    def forget(self, tenant_id: str, namespace: str, flow_id: str) -> None:
        """Ask again next time."""
        self._flows.pop((tenant_id, namespace, flow_id), None)

    async def listen(self, queue: Queue) -> None:
        """Forget flows as other processes change them, until cancelled."""
        async for message in queue.subscribe(BROADCAST):
            if isinstance(message, FlowUpdated):
                self.forget(message.tenant_id, message.namespace, message.flow_id)
