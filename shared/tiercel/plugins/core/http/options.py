"""
How requests are sent: authentication, timeouts, proxy, TLS, redirects, and which answers are failures.

Both ways of writing them are read: the flat one of the older dialect, and the nested one.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from tiercel.model.property import DYNAMIC, Node


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

    type: Annotated[str, DYNAMIC] = "DIRECT"
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
