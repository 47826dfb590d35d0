"""The routes of the API, a module for each resource."""

from __future__ import annotations

from typing import Any

from tiercel.webserver.handlers import creation, executions, flows, logs, misc

HANDLERS: list[Any] = [
    *creation.HANDLERS,
    *executions.HANDLERS,
    *flows.HANDLERS,
    *logs.HANDLERS,
    *misc.HANDLERS,
]
"""Every route; paths are without the tenant."""
