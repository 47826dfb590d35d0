"""Which namespaces there are: a worker asks the API, since flows make them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tiercel.errors import NotFound
from tiercel.model.flow import FLOW_ID, NAMESPACE
from tiercel.model.property import constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext
from tiercel.storage import uris
from tiercel.storage.keyvalues import ancestry


def name_objections(namespace: object, flow_id: object = None) -> Iterator[Objection]:
    """Yield a warning about constants that no namespace and no flow can be called: what they name is never there."""
    for path, name, pattern, letters in (
        ("namespace", constant(namespace), NAMESPACE, "lower-case letters"),
        ("flowId", constant(flow_id), FLOW_ID, "letters"),
    ):
        if name and not re.fullmatch(pattern, name):
            noun = "namespace" if path == "namespace" else "flow"
            yield Objection(
                (path,),
                f"No {noun} can be called '{name}'; its name has {letters}, digits, '.', '_' and '-' only, "
                "and begins with a letter or digit.",
                refuses=False,
            )


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
