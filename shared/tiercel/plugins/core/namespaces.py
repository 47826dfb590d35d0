"""Which namespaces there are: a worker asks the API, since flows make them."""

from __future__ import annotations

from tiercel.errors import NotFound
from tiercel.plugins.base import RunContext
from tiercel.storage import uris
from tiercel.storage.keyvalues import ancestry


async def with_flows(context: RunContext) -> list[str]:
    """Return the namespaces that have flows; none when a task runs alone, without an installation."""
    if not context.has_api:
        return []
    found: list[str] = await context.api().call("GET", "namespaces")
    return found


async def check_exists(context: RunContext, namespace: str) -> None:
    """
    Raise NotFound when a namespace does not exist: a mistyped one must not be written to.

    A flow's own and those above it exist; so do those that have flows, are above some that have, or hold a key.
    """
    if namespace in ancestry(context.namespace) or not context.has_api:
        return
    if any(namespace in ancestry(name) for name in await with_flows(context)):
        return
    if not await context.storage.exists(context.tenant_id, uris.key_values(namespace)):
        raise NotFound(f"Cannot access the KV store: the namespace '{namespace}' does not exist.")
