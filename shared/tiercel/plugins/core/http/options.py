"""
How requests are sent: authentication, timeouts, proxy, TLS, redirects, and which answers are failures.

Both ways of writing them are read: the flat one of the older dialect, and the nested one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from tiercel.model.property import DYNAMIC, Node, constant
from tiercel.model.task import Objection
from tiercel.plugins.objection import list_objections

DIRECT: Final = "DIRECT"
"""The type of a proxy that is none."""
PORTS: Final = range(1, 1 << 16)
PROXY_PORT: Final = 3128
"""The port of a proxy that names none."""


class AuthType(StrEnum):
    """How a request shows who sends it."""

    BASIC = "BASIC"
    BEARER = "BEARER"
    DIGEST = "DIGEST"


class Auth(Node, frozen=True, kw_only=True):
    """Who sends the request."""

    type: Annotated[str | AuthType, DYNAMIC]
    username: Annotated[str | None, DYNAMIC] = None
    password: Annotated[str | None, DYNAMIC] = None
    token: Annotated[str | None, DYNAMIC] = None


class Timeout(Node, frozen=True, kw_only=True):
    """How long to wait for a connection, and for the next bytes."""

    connect_timeout: Annotated[timedelta | str | None, DYNAMIC] = None
    read_idle_timeout: Annotated[timedelta | str | None, DYNAMIC] = None


class Proxy(Node, frozen=True, kw_only=True):
    """A proxy: DIRECT for none, HTTP or SOCKS."""

    type: Annotated[str, DYNAMIC] = DIRECT
    address: Annotated[str | None, DYNAMIC] = None
    port: Annotated[int | str | None, DYNAMIC] = None
    username: Annotated[str | None, DYNAMIC] = None
    password: Annotated[str | None, DYNAMIC] = None


class Ssl(Node, frozen=True, kw_only=True):
    """What is asked of the server's certificate."""

    insecure_trust_all_certificates: Annotated[bool | str, DYNAMIC] = False


class HttpOptions(Node, frozen=True, kw_only=True):
    """Everything about sending a request but the request itself."""

    auth: Auth | None = None
    timeout: Timeout | None = None
    proxy: Proxy | None = None
    ssl: Ssl | None = None
    follow_redirects: Annotated[bool | str, DYNAMIC] = True
    allow_failed: Annotated[bool | str, DYNAMIC] = False
    allowed_response_codes: Annotated[list[int] | str | None, DYNAMIC] = None
    default_charset: Annotated[str | None, DYNAMIC] = "UTF-8"
    max_content_length: Annotated[int | str | None, DYNAMIC] = None
    logs: Annotated[list[str] | str | None, DYNAMIC] = None
    log_level: Annotated[str | None, DYNAMIC] = None
    connect_timeout: Annotated[timedelta | str | None, DYNAMIC] = None
    read_timeout: Annotated[timedelta | str | None, DYNAMIC] = None
    read_idle_timeout: Annotated[timedelta | str | None, DYNAMIC] = None
    connection_pool_idle_timeout: Annotated[timedelta | str | None, DYNAMIC] = None
    proxy_type: Annotated[str | None, DYNAMIC] = None
    proxy_address: Annotated[str | None, DYNAMIC] = None
    proxy_port: Annotated[int | str | None, DYNAMIC] = None
    proxy_username: Annotated[str | None, DYNAMIC] = None
    proxy_password: Annotated[str | None, DYNAMIC] = None
    basic_auth_user: Annotated[str | None, DYNAMIC] = None
    basic_auth_password: Annotated[str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        """Yield what is wrong with the port of a proxy that is used, and with codes that are no list."""
        yield from list_objections(allowedResponseCodes=self.allowed_response_codes)
        path: tuple[str, ...] = ("proxyPort",) if self.proxy is None else ("proxy", "port")
        kind = self.proxy_type if self.proxy is None else self.proxy.type
        port = self.proxy_port if self.proxy is None else self.proxy.port
        number = _whole(port)
        is_used = (constant(kind) or DIRECT).upper() != DIRECT
        if is_used and number and number not in PORTS:
            yield Objection(path, f"must be {PORTS.start} to {PORTS.stop - 1}, but is {number}")


def _whole(value: int | str | None) -> int | None:
    if isinstance(value, int):
        return value
    text = constant(value)
    return int(text) if text and text.removeprefix("-").isdecimal() else None
