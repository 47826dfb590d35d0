"""
The port of the API for those that are not webservers: what a worker has in place of a state store and a repository.

Tasks that look at the history, or give commands to executions and triggers, ask through it (docs/adr).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Query = Sequence[tuple[str, str]]


class TenantApi(Protocol):
    """The API for one tenant."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        """
        Send a request to a path below the tenant's; return the answer's JSON, None for an empty one.

        `body` is sent as JSON, `form` as the parts of a multipart form. Raises NotFound, Conflict and Refused with what
        the API says, and Unavailable when it does not answer.
        """
        ...


class ApiClient(Protocol):
    """Reaches the API, for any tenant."""

    def of(self, tenant_id: str) -> TenantApi:
        """Return the API for a tenant."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
