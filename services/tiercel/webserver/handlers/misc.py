"""What is asked of the server itself: is it there, what is it."""

from __future__ import annotations

from typing import Any, Final

from litestar import get

from tiercel.runtime import version
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest


@get("/ping", tags=["Misc"], media_type="text/plain")
async def ping() -> str:
    """Answer `pong`."""
    return "pong"


@get("/api/v1/configs", tags=["Misc"])
async def configs(request: AnyRequest) -> dict[str, Any]:
    """Say what user interfaces need to know."""
    settings = Call(request).api.settings
    environment = {"name": settings.environment_name, "color": settings.environment_color}
    return {
        "environment": environment if settings.environment_name else None,
        "version": version.tiercel(),
        "edition": "OSS",
        "url": settings.base_url,
        "isBasicAuthInitialized": True,
        "isTaskRunEnabled": False,
        "isAnonymousUsageEnabled": False,
        "tenants": list(settings.tenants),
    }


@get("/api/v1/version", tags=["Misc"])
async def server_version() -> dict[str, str]:
    """Return the version."""
    return {"version": version.tiercel()}


HANDLERS: Final[list[Any]] = [ping, configs, server_version]
