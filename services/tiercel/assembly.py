"""
How a service is put together: its class, its settings, and its adapters.

Every service is `tiercel.<name>.service.<Name>Service`, with `<Name>Settings` beside it. What settings of the whole
installation a service needs (global variables, the encryption key …) is handed over under the name that its own
settings have for it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import msgspec

from tiercel.runtime import process, wiring
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.health import Check
from tiercel.runtime.service import Service
from tiercel.runtime.settings import Settings
from tiercel.statestore.base import Leases

COMMON: Final[Mapping[str, Callable[[Settings], Any]]] = {
    "is_alone": lambda settings: settings.queue.type == "memory",
    "globals": lambda settings: settings.variables.globals,
    "envs": lambda settings: environment_variables(settings.variables.env_vars_prefix, os.environ),
    "kestra": lambda settings: about(settings),
    "encryption_key": lambda settings: settings.encryption.secret_key,
    "recursive_rendering": lambda settings: settings.variables.recursive_rendering,
    "plugin_defaults": lambda settings: settings.plugins.defaults,
    "variables_globals": lambda settings: settings.variables.globals,
    "env_vars_prefix": lambda settings: settings.variables.env_vars_prefix,
    "host": lambda settings: settings.api_host,
    "port": lambda settings: settings.server.port,
    "url": lambda settings: settings.url,
    "environment_name": lambda settings: settings.environment.name,
    "environment_color": lambda settings: settings.environment.color,
    "username": lambda settings: _credential(settings, settings.server.basic_auth.username),
    "password": lambda settings: _credential(settings, settings.server.basic_auth.password),
    "realm": lambda settings: settings.server.basic_auth.realm,
    "open_urls": lambda settings: settings.server.basic_auth.open_urls,
    "grace_s": lambda settings: settings.server.termination_grace.total_seconds(),
}
"""Fields of a service's settings that the installation's settings fill, when it has them."""


def about(settings: Settings) -> dict[str, str]:
    """Return what expressions see as `kestra`: the public address and the name of the installation, if set."""
    found = {"url": settings.url, "environment": settings.environment.name}
    return {name: value for name, value in found.items() if value is not None}


def _credential(settings: Settings, value: str | None) -> str | None:
    return value if settings.server.basic_auth.is_enabled else None


def settings_class(name: str) -> type[Any]:
    """Return the class of a service's own settings."""
    found: type[Any] = getattr(importlib.import_module(f"tiercel.{name}.settings"), f"{name.title()}Settings")
    return found


def preload(name: str) -> None:
    """Import all that a service needs."""
    importlib.import_module(f"tiercel.{name}.service")


def make(name: str, settings: Settings, adapters: Adapters) -> Service:
    """Construct a service."""
    service = getattr(importlib.import_module(f"tiercel.{name}.service"), f"{name.title()}Service")
    own = settings.sections.get(name) or settings_class(name)()
    made: Service = service(adapters, msgspec.structs.replace(own, **common_fields(name, settings)))
    return made


def common_fields(name: str, settings: Settings) -> dict[str, Any]:
    """Return what the settings of the installation say for fields of a service's own settings."""
    fields = settings_class(name).__struct_fields__
    return {field: read(settings) for field, read in COMMON.items() if field in fields}


class Lineage(NamedTuple):
    """Who a process is, and which one it follows: one whose end its supervisor has seen."""

    instance: str
    predecessor: str | None = None


def assemble(name: str, settings: Settings, lineage: Lineage | None = None) -> process.Assembly:
    """Return what `process.run` needs to make this service."""

    async def made(stack: AsyncExitStack) -> tuple[Service, dict[str, Check]]:
        adapters, checks = await wiring.connect(name, settings, stack)
        service = make(name, settings, adapters)
        if lineage is not None and adapters.leases is not None:
            await follow(service, adapters.leases, lineage)
        return service, checks

    return made


async def follow(service: Service, leases: Leases, lineage: Lineage) -> None:
    """Give a service its name among instances, and free what the dead one before it owned."""
    service.instance = lineage.instance
    if lineage.predecessor is not None:
        await leases.expire(service.name, lineage.predecessor)


def environment_variables(prefix: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what expressions see as `envs`: variables with the prefix, without it, in lower case."""
    return {name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)}
