"""Broadcasts: of what everyone hears, only new revisions of flows concern the scheduler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tiercel.messages.broadcast import Broadcast, FlowUpdated


async def handle(message: Broadcast, follow: Callable[[str, str, str], Awaitable[None]]) -> None:
    """Follow a flow's new revision."""
    if isinstance(message, FlowUpdated):
        await follow(message.tenant_id, message.namespace, message.flow_id)
