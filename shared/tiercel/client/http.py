"""The API over HTTP: by the address of a webserver, and who calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx

from tiercel.client.base import Query, TenantApi
from tiercel.errors import Conflict, NotFound, OperatorError, Refused, Unavailable

TIMEOUT_S: Final = 120.0
"""A purge of a long history takes a while; the webserver itself gives no request longer."""


class HttpApiClient:
    """Calls the webserver at an address; its connections are made at the first call."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._auth = httpx.BasicAuth(username, password or "") if username else None
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    def of(self, tenant_id: str) -> TenantApi:
        """Return the API for a tenant."""
        return _TenantApi(self, tenant_id)

    async def send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send a request; raise Unavailable when there is no answer."""
        try:
            if self._client is None:
                self._client = httpx.AsyncClient(
                    base_url=self._url, auth=self._auth, headers=self._headers, timeout=TIMEOUT_S,
                    transport=self._transport, trust_env=False,
                )  # fmt: skip
            return await self._client.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(
                f"The API cannot be reached at '{self._url}': {error or type(error).__name__}. The setting 'api.url' "
                "says where workers find it."
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()


class _TenantApi:
    """One tenant's part of the API."""

    def __init__(self, client: HttpApiClient, tenant_id: str) -> None:
        self._client = client
        self._base = f"/api/v1/{quote(tenant_id, safe='')}/"

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return the answer's JSON."""
        content: dict[str, Any] = {"params": list(query)} if query else {}
        if form is not None:
            content["files"] = [(name, (None, value.encode())) for name, value in form.items()]
        elif body is not None:
            content["json"] = body
        answer = await self._client.send(method, self._base + path, **content)
        if answer.status_code >= 400:
            raise _error(answer, f"{method} {path}")
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError as error:
            raise Unavailable(f"What answered {method} {path} is not the API: it sent no JSON.") from error


def _error(answer: httpx.Response, what: str) -> Exception:
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.text[:500]
    match answer.status_code:
        case 401 | 403:
            return OperatorError(
                f"The API does not let this worker in ({what}): {said} The settings 'api.username' and 'api.password' "
                "say who it is."
            )
        case 404:
            return NotFound(said)
        case 409:
            return Conflict(said)
        case status if status >= 500 or status == 429:
            return Unavailable(f"The API failed on {what} ({answer.status_code}): {said}")
        case _:
            return Refused(said)
