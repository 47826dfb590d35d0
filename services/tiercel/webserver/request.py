"""What the server and Litestar tell of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, overload

import msgspec
from litestar import Request
from litestar.datastructures import State

from tiercel.model.tenant import MAIN_TENANT
from tiercel.webserver.problem import BadBody

T = TypeVar("T")

_NUL: Final = rb"\u0000"
"""How JSON writes the character; it stands for itself behind another backslash, so that finding it proves nothing."""

NAMES_AS_SENT: Final = "tiercel.header_names"
"""Where the server keeps in the scope how the caller spelt the names of the headers, in their order."""

AnyRequest = Request[Any, Any, State]
"""The request that a handler is given."""


def tenant_of(scope: Any) -> str:
    """Return the tenant that the path has named (`app` has taken it out of the path), or the main one."""
    tenant: str = scope.get("tiercel.tenant", MAIN_TENANT)
    return tenant


def headers_as_sent(scope: Any) -> list[tuple[str, str]]:
    """Return names and values of the headers, the names as the caller spelt them where the server has kept that."""
    headers = scope["headers"]
    names = scope.get(NAMES_AS_SENT) or [name for name, _ in headers]
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, (_, value) in zip(names, headers, strict=True)]


@overload
async def json_of(request: AnyRequest) -> Any: ...
@overload
async def json_of(request: AnyRequest, type_: type[T]) -> T: ...
async def json_of(request: AnyRequest, type_: type[Any] = object) -> Any:
    """
    Read a body of names, states and labels; an empty one is null.

    Raises BadBody when a text of it holds NUL, which PostgreSQL takes nowhere.
    """
    body = await request.body() or b"null"
    if _NUL in body and _holds_nul(msgspec.json.decode(body)):
        raise BadBody("The body contains the character NUL, which no name or value can contain.")
    return msgspec.json.decode(body, type=type_)


def _holds_nul(value: Any) -> bool:
    match value:
        case str():
            return "\0" in value
        case Mapping():
            return any(_holds_nul(key) or _holds_nul(part) for key, part in value.items())
        case list():
            return any(_holds_nul(part) for part in value)
        case _:
            return False
