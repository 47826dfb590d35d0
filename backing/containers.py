"""
Backing services in containers, where a container engine answers: nothing is built, and no Java is needed.

Images are pinned by version. Each container has a port of this machine and data of its own, which end with it. What is
killed cannot remove its containers; the next one that starts does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from backing import kafka, kafka_files, minio
from backing.minio import S3Address
from backing.process import POLL_S, START_TIMEOUT_S, free_port
from tiercel.errors import TiercelError, Unavailable

if TYPE_CHECKING:
    from tiercel.plugins.scripts.engine import Engine

ENGINE_VARIABLE: Final = "TIERCEL_TEST_ENGINE"
NO_ENGINE: Final = "none"
IMAGES: Final[Mapping[str, str]] = {
    "kafka": f"docker.io/apache/kafka:{kafka_files.VERSION}",
    # The last one that its makers have published.
    "minio": "docker.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
}
HOST_LABEL: Final = "tiercel.backing.host"
OWNER_LABEL: Final = "tiercel.backing.owner"
PING_TIMEOUT_S: Final = 5.0
"""An engine that is there answers in milliseconds; a socket that nobody serves must not hold up a run."""
TAIL_LINES: Final = 20
"""Lines of a container's log that an error shows: the last ones tell why it ended."""

T = TypeVar("T")


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in a container: its image, its part of the specification, and when it can be used."""

    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    """The same in the container and outside, because a broker tells its address to its clients."""
    is_ready: Callable[[bytes], bool]
    """Given everything that it has said so far."""


def host(name: str) -> str | None:
    """Return the address of the engine that runs this service, None when none answers or it cannot get the image."""
    found = engine_host()
    return found if found is not None and _has_image(found, IMAGES[name]) else None


def engine_host() -> str | None:
    """Return the address of this machine's engine, None when none answers."""
    from tiercel.plugins.scripts import engine  # noqa: PLC0415 takes half a second, which runs without services save

    given = os.environ.get(ENGINE_VARIABLE)
    found = given or engine.found_host()
    return found if found is not None and given != NO_ENGINE and _answers(found) else None


@contextlib.contextmanager
def kafka_broker(host: str) -> Iterator[str]:
    """Yield the address of a broker that is ours for as long as this lasts."""
    port = free_port()
    address = f"{_published_at(host)}:{port}"
    settings = {
        **kafka.SETTINGS,
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:{port + 1}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "controller.quorum.voters": f"1@localhost:{port + 1}",
        "log.dirs": "/var/lib/kafka/data",
    }
    service = Service(
        image=IMAGES["kafka"],
        command=[],
        environment={
            "CLUSTER_ID": kafka.CLUSTER_ID,
            "KAFKA_HEAP_OPTS": " ".join(kafka.MEMORY),
            **{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()},
        },
        port=port,
        is_ready=lambda said: kafka.READY in said,
    )
    with _running(host, service):
        yield address


@contextlib.contextmanager
def minio_server(host: str) -> Iterator[S3Address]:
    """Yield the address of an object store, likewise."""
    port = free_port()
    endpoint = f"http://{_published_at(host)}:{port}"
    service = Service(
        image=IMAGES["minio"],
        command=["server", "--address", f":{port}", "data"],
        environment=minio.SETTINGS,
        port=port,
        is_ready=lambda _: minio.answers(endpoint),
    )
    with _running(host, service):
        yield S3Address(endpoint=endpoint, access_key=minio.ACCESS_KEY, secret_key=minio.SECRET_KEY)


@lru_cache
def _answers(host: str) -> bool:
    async def ask(engine: Engine) -> None:
        async with asyncio.timeout(PING_TIMEOUT_S):  # a socket may be there that nobody serves
            await engine.ping()

    return _succeeds(host, ask)


@lru_cache
def _has_image(host: str, image: str) -> bool:
    """Tell whether an engine has an image; one that has not gets it."""

    async def ask(engine: Engine) -> None:
        if not await engine.has_image(image):
            print(f"Fetching {image} …", file=sys.stderr, flush=True)
            await engine.pull(image, None)

    return _succeeds(host, ask)


def _succeeds(host: str, question: Callable[[Engine], Awaitable[None]]) -> bool:
    try:
        _asked(host, question)
    except (TiercelError, TimeoutError) as error:
        print(f"The container engine at '{host}' is not used: {error or 'it is silent'}", file=sys.stderr, flush=True)
        return False
    return True


@contextlib.contextmanager
def _running(host: str, service: Service) -> Iterator[None]:
    """Start a container, and remove it with its data."""

    async def start(engine: Engine) -> str:
        await _remove_left(engine)
        container = await engine.create(_specification(host, service), f"tiercel-backing-{secrets.token_hex(4)}")
        try:
            await engine.start(container)
            await _until_ready(engine, container, service)
        except BaseException:  # Ctrl-C too: what was made is removed, and the error goes on
            await engine.remove(container)
            raise
        return container

    container = _asked(host, start)
    try:
        yield
    finally:
        _asked(host, lambda engine: engine.remove(container))


def _specification(host: str, service: Service) -> dict[str, Any]:
    binding = {"HostIp": "127.0.0.1" if _is_local(host) else "", "HostPort": str(service.port)}
    return {
        "Image": service.image,
        **({"Cmd": list(service.command)} if service.command else {}),
        "Env": [f"{name}={value}" for name, value in service.environment.items()],
        "Labels": {HOST_LABEL: platform.node(), OWNER_LABEL: str(os.getpid())},
        "ExposedPorts": {f"{service.port}/tcp": {}},
        "HostConfig": {"PortBindings": {f"{service.port}/tcp": [binding]}},
    }


async def _until_ready(engine: Engine, container: str, service: Service) -> None:
    """Return when it can be used; raise Unavailable with what it has said last when that does not come to be."""
    said = bytearray()
    listening = asyncio.ensure_future(_listen(engine.output(container), said))
    deadline = time.monotonic() + START_TIMEOUT_S
    try:
        while not await asyncio.to_thread(service.is_ready, bytes(said)):
            await asyncio.wait({listening}, timeout=POLL_S)  # a service that becomes ready tells nobody
            if listening.done() or time.monotonic() > deadline:
                tail = "\n".join(said.decode(errors="replace").splitlines()[-TAIL_LINES:])
                raise Unavailable(f"The container of '{service.image}' did not start; the last that it says:\n{tail}")
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _listen(output: AsyncIterator[tuple[str, bytes]], said: bytearray) -> None:
    async for _, piece in output:
        said += piece


async def _remove_left(engine: Engine) -> None:
    """Remove what processes of this machine have left that were killed."""
    for container in await engine.containers([f"{HOST_LABEL}={platform.node()}"]):
        if not await asyncio.to_thread(Path("/proc", container["Labels"][OWNER_LABEL]).exists):
            await engine.remove(container["Id"])


def _asked(host: str, question: Callable[[Engine], Awaitable[T]]) -> T:
    """Ask an engine, in a thread: who calls may be inside of an event loop."""

    from tiercel.plugins.scripts.engine import Engine  # noqa: PLC0415 as above

    async def ask() -> T:
        async with Engine(host) as engine:
            return await question(engine)

    with ThreadPoolExecutor(1, thread_name_prefix="backing-engine") as thread:
        return thread.submit(lambda: asyncio.run(ask())).result()


def _is_local(host: str) -> bool:
    return host.startswith("unix:")


def _published_at(host: str) -> str:
    """Return where an engine's ports are."""
    return "127.0.0.1" if _is_local(host) else urlsplit(host).hostname or "127.0.0.1"
