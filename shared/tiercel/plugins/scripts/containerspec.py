"""What an engine is told about a container: properties of the task runner, rendered, in the words of Docker's API."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.model.size import parse_size
from tiercel.plugins.base import RunContext
from tiercel.plugins.scripts.engine import registry_of
from tiercel.plugins.scripts.runners import (
    BINDING,
    UNLIMITED,
    Credentials,
    DeviceRequest,
    DockerRunner,
    FileHandling,
    Memory,
    bound_port,
)

NANOS: Final = 1_000_000_000
"""The engine counts processors in billionths."""
_MEMORY_LIMITS: Final = {
    "memory": "Memory",
    "memory_swap": "MemorySwap",
    "memory_reservation": "MemoryReservation",
    "kernel_memory": "KernelMemory",
}
VOLUMES: Final = "volumes"
PRIVILEGED: Final = "privileged"
"""What an operator may allow containers of tasks, by `worker.containers-may`."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run, whatever runs it."""

    image: str
    command: list[str]
    folder: Path
    environment: Mapping[str, str]
    labels: Mapping[str, str]


async def specification(context: RunContext, runner: DockerRunner, wanted: Wanted) -> dict[str, Any]:
    """Return the request that creates the container; raise TaskFailed for what the operator does not allow."""
    found: dict[str, Any] = {
        "Image": wanted.image,
        "Cmd": wanted.command,
        "Env": [f"{name}={value}" for name, value in wanted.environment.items()],
        "WorkingDir": str(wanted.folder),
        # Those of the worker win: by them it finds what is left over.
        "Labels": {**(await context.render(runner.labels, dict[str, str]) or {}), **wanted.labels},
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": await _host(context, runner, wanted.folder),
    }
    if runner.user is not None:
        found["User"] = await context.render(runner.user)
    if runner.entry_point is not None:
        entry = await _texts(context, runner.entry_point)
        found["Entrypoint"] = [part for part in entry if part] or [""]
    ports = await _texts(context, runner.port_bindings)
    if ports:
        bound = [_port(port) for port in ports]
        found["ExposedPorts"] = {inside: {} for inside, _ in bound}
        found["HostConfig"]["PortBindings"] = {inside: [outside] for inside, outside in bound}
    return found


async def _host(context: RunContext, runner: DockerRunner, folder: Path) -> dict[str, Any]:
    host: dict[str, Any] = {}
    binds = await _texts(context, runner.volumes)
    if binds:
        _allowed(context, VOLUMES, "mounts folders of the machine ('volumes')")
    if await context.render(runner.file_handling_strategy, FileHandling) is FileHandling.MOUNT:
        binds = [f"{folder}:{folder}:rw", *binds]
    if binds:
        host["Binds"] = binds
    if await context.render(runner.privileged, bool):
        _allowed(context, PRIVILEGED, "asks for all rights ('privileged')")
        host["Privileged"] = True
    extra_hosts = await _texts(context, runner.extra_hosts)
    if extra_hosts:
        host["ExtraHosts"] = extra_hosts
    if runner.network_mode is not None:
        host["NetworkMode"] = await context.render(runner.network_mode)
    cpus = await context.render(runner.cpu.cpus, float) if runner.cpu is not None else None
    if cpus is not None:
        host["NanoCpus"] = int(cpus * NANOS)
    if runner.memory is not None:
        host |= await _memory(context, runner.memory)
    if runner.shm_size is not None:
        host["ShmSize"] = memory_size(await context.render(runner.shm_size))
    if runner.device_requests:
        host["DeviceRequests"] = [await _devices(context, each) for each in runner.device_requests]
    return host


def _allowed(context: RunContext, what: str, does: str) -> None:
    if what not in context.containers_may:
        raise TaskFailed(
            f"The container {does}, which the operator does not allow: the setting 'worker.containers-may' must "
            f"name '{what}'."
        )


async def _memory(context: RunContext, memory: Memory) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in _MEMORY_LIMITS.items():
        given = await context.render(getattr(memory, name))
        if given is not None:
            found[key] = memory_size(given, unlimited=name == "memory_swap")
    swappiness = await context.render(memory.memory_swappiness, int)
    if swappiness is not None:
        found["MemorySwappiness"] = swappiness
    disabled = await context.render(memory.oom_kill_disable, bool)
    if disabled is not None:
        found["OomKillDisable"] = disabled
    return found


async def _devices(context: RunContext, request: DeviceRequest) -> dict[str, Any]:
    found = {
        "Driver": await context.render(request.driver),
        "Count": await context.render(request.count, int),
        "DeviceIDs": await context.render(request.device_ids, list[str]),
        "Capabilities": await context.render(request.capabilities, list[list[str]]),
        "Options": await context.render(request.options, dict[str, str]),
    }
    return {name: value for name, value in found.items() if value is not None}


async def _texts(context: RunContext, value: Any) -> list[str]:
    if isinstance(value, str) and not value.lstrip().startswith(("[", "{")):
        return [await context.render(value)]
    found: list[str] = await context.render(value, list[str]) or []
    return found


def memory_size(text: str, *, unlimited: bool = False) -> int:
    """Read a size in bytes, -1 where there may be no limit; raise TaskFailed for anything else."""
    if unlimited and text.strip() == UNLIMITED:
        return -1
    try:
        return parse_size(text)
    except ValueError as error:
        raise TaskFailed(str(error)) from error


def _port(text: str) -> tuple[str, dict[str, str]]:
    bound = bound_port(text)
    if bound is None:
        raise TaskFailed(BINDING.format(text=text))
    return bound


async def credentials(context: RunContext, runner: DockerRunner, image: str) -> dict[str, str] | None:
    """Return who fetches an image: the credentials given, else what the configuration says of its registry."""
    if runner.credentials is not None:
        return await _given(context, runner.credentials, image)
    if runner.config is None:
        return None
    config: dict[str, Any] = await context.render(runner.config, dict[str, Any]) or {}
    entries = config.get("auths")
    for name in _names(registry_of(image)):
        entry = entries.get(name) if isinstance(entries, Mapping) else None
        if isinstance(entry, Mapping):
            known = {"auth": entry.get("auth"), "identitytoken": entry.get("identitytoken")}
            return _complete({key: str(value) for key, value in known.items() if value}, name)
    return None


def _names(registry: str) -> Sequence[str]:
    """Return the names under which a client's configuration may know a registry."""
    older = (f"https://index.{registry}/v1/", f"index.{registry}") if registry == "docker.io" else ()
    return (registry, f"https://{registry}", *older)


async def _given(context: RunContext, given: Credentials, image: str) -> dict[str, str]:
    rendered = {
        "username": await context.render(given.username),
        "password": await context.render(given.password),
        "registrytoken": await context.render(given.registry_token),
        "identitytoken": await context.render(given.identity_token),
        "auth": await context.render(given.auth),
    }
    registry = await context.render(given.registry) or registry_of(image)
    return _complete({name: value for name, value in rendered.items() if value}, registry)


def _complete(found: dict[str, str], registry: str) -> dict[str, str]:
    auth = found.pop("auth", None)
    if auth is not None:
        try:
            found["username"], _, found["password"] = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise TaskFailed("'auth' of the registry's credentials must be 'user:password' in base64.") from error
    return {**found, "serveraddress": registry}
