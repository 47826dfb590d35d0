"""Broadcasts: of what everyone hears, only new revisions of flows concern the executor, for those that listen."""

from __future__ import annotations

from tiercel.executor.listeners import FlowListeners
from tiercel.messages.broadcast import FlowUpdated
from tiercel.messages.topics import BROADCAST
from tiercel.queue.base import Queue
from tiercel.runtime import retry


class BroadcastHandler:
    """Hears what everyone hears from the moment that it is made."""

    def __init__(self, queue: Queue, listeners: FlowListeners) -> None:
        self._news = queue.subscribe(BROADCAST)
        self._listeners = listeners

    async def listen(self) -> None:
        """Follow every new revision, until cancelled."""
        async for message in self._news:
            if isinstance(message, FlowUpdated):
                async for attempt in retry.backend("flows that listen"):
                    with attempt:
                        await self._listeners.follow(message.tenant_id, message.namespace, message.flow_id)
