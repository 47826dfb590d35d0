"""What the server and Litestar tell of a request."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.datastructures import State

from tiercel.model.tenant import MAIN_TENANT

AnyRequest = Request[Any, Any, State]
"""The request that a handler is given."""


def tenant_of(scope: Any) -> str:
    """Return the tenant that the path has named (`app` has taken it out of the path), or the main one."""
    tenant: str = scope.get("tiercel.tenant", MAIN_TENANT)
    return tenant
