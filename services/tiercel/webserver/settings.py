"""What an operator may set for a webserver."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tiercel.model.tenant import MAIN_TENANT


class RulesOf2(StrEnum):
    """What becomes of a flow that can only fail when it runs, and that Kestra refuses since 2.0."""

    BY_PATH = "by-path"
    REFUSE = "refuse"
    WARN = "warn"


class WebserverSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses, limits and waits of the API."""

    host: str = "127.0.0.1"
    port: int = 8080
    url: str | None = None
    """Where people reach the user interface, for links in answers; the address of this process when absent."""
    username: str | None = None
    password: str | None = None
    """Both set: every route but the open ones asks for them (basic authentication)."""
    realm: str = "Tiercel"
    open_urls: tuple[str, ...] = ("/ping", "/api/v1/executions/webhook/", "/api/v1/configs")
    allowed_origins: tuple[str, ...] = ()
    """Sites whose pages a browser may let ask and change things here, as `https://host`; `*` for all."""
    tenants: tuple[str, ...] = (MAIN_TENANT,)
    """Tenants that a path may name."""
    command_wait_s: float = 5.0
    """How long an answer to a command waits for its effect; then it shows the state as it is."""
    created_wait_s: float = 2.0
    """How long a read waits for an execution that was created a moment ago, maybe by another process."""
    follow_wait_s: float = 10.0
    """How long a follower waits for an execution to appear."""
    wait_max_s: float = 3600.0
    """How long `wait=true` waits for the end."""
    input_request_s: float = 10.0
    """How long `http()` in an input (the values of a dropdown) waits for an answer; 0: inputs ask nobody."""
    poll_interval_s: float = 0.015
    """The longest rest between two looks at followed executions, which are one query for all of them."""
    text_part_max: int = 16 << 20
    """Bytes of an input that is not a file."""
    body_max: int = 64 << 20
    """Bytes of a request body that is not multipart."""
    bulk_max: int = 10_000
    """Executions that one bulk request may touch."""
    plugin_defaults: tuple[dict[str, Any], ...] = ()
    """What flows are read with when they are saved or looked at: see `plugins.defaults`."""
    encryption_key: str | None = None
    """The key of SECRET inputs (base64)."""
    recursive_rendering: bool = False
    variables_globals: dict[str, Any] = {}
    kestra: dict[str, str] = {}
    """What expressions see as `kestra`: the installation's `url` and `environment`."""
    envs: dict[str, Any] = {}
    environment_name: str | None = None
    environment_color: str | None = None
    grace_s: float = 10.0
    """Requests that are under way when the process stops get this long, at most a minute."""
    rules_of_2: RulesOf2 = RulesOf2.BY_PATH
    """
    Whether a flow that can only fail, and that Kestra refuses since 2.0, is saved: a Schedule that does not give a
    required input. `refuse`, `warn`, or `by-path`: refused where the path names the tenant, as clients of 2.0 do.
    """
    backlog_age_max_s: float = 600.0
    """New executions are refused with 429 while the oldest message of history is older than this."""

    @property
    def base_url(self) -> str:
        return (self.url or f"http://localhost:{self.port}").rstrip("/")
