"""
`tiercel run FLOW.yaml`: one flow from a file, live in the terminal.

Without a server's address everything runs in this process: all five services on adapters in memory. Only files outlive
it, in the data folder. The API listens on this machine only, behind a password that nobody else knows.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvloop
import yaml

from tiercel import assembly
from tiercel.cli import flow, options
from tiercel.cli.api import RemoteServer
from tiercel.cli.live import LiveView
from tiercel.cli.main import SERVICES
from tiercel.errors import Refused
from tiercel.flowspec.identity import placed_leaves
from tiercel.flowspec.parse import check_flows
from tiercel.model.flow import Flow
from tiercel.model.state import State
from tiercel.model.tenant import MAIN_TENANT
from tiercel.runtime import logging as logs
from tiercel.runtime import wiring
from tiercel.runtime.settings import Settings

log = logging.getLogger(__name__)

GOOD_ENDS: Final = frozenset({State.SUCCESS, State.WARNING, State.PAUSED})


def execute(arguments: argparse.Namespace) -> int:
    """Run the flow; return 0 when it ends well, 1 when it fails, 2 when it cannot be started."""
    names = (arguments.flow, *arguments.others)
    sources = [flow.read(name) for name in names]
    if not _all_valid(names, sources):
        return 2
    for name, source in zip(names, sources, strict=True):
        if (count := len(check_flows(source))) != 1:
            raise Refused(
                f"The file '{name}' holds {count} flows; write each into a file, and name the others by --with."
            )
    if arguments.user is not None and (not arguments.server or ":" not in arguments.user):
        raise Refused("--user says who to be on another server: write --server URL --user NAME:PASSWORD.")
    inputs = _inputs(arguments.input)
    _refuse_unknown(inputs, check_flows(sources[0])[0].flow)
    return uvloop.run(_run(arguments, sources, inputs))


def _all_valid(names: tuple[str, ...], sources: list[str]) -> bool:
    valid = True
    for name, source in zip(names, sources, strict=True):
        for problem in flow.check(source)[0]:
            print(f"{flow.place(name, problem)}: {problem.sentence}", file=sys.stderr)
            valid = False
    return valid


async def _run(arguments: argparse.Namespace, sources: list[str], inputs: Mapping[str, str | Path]) -> int:
    async with AsyncExitStack() as stack:
        files_in: Path | None = None
        if arguments.server:
            api = RemoteServer(arguments.server, arguments.user)
        else:
            settings = _own_settings(arguments)
            logs.configure(form=settings.logging.format, level="WARNING", service="run")
            await stack.enter_async_context(in_process(settings))
            user = f"{settings.server.basic_auth.username}:{settings.server.basic_auth.password}"
            api = RemoteServer(f"http://127.0.0.1:{settings.server.port}", user)
            files_in = settings.storage_path / MAIN_TENANT if settings.storage.type == "local" else None
        stack.push_async_callback(api.close)
        for source in reversed(sources):  # what a flow calls must exist before it
            await api.put_flow(source)
        head = yaml.safe_load(sources[0])
        started = await api.start(head["namespace"], head["id"], inputs, arguments.label)
        view = LiveView(api, show_logs=not arguments.no_logs)
        execution = await view.follow(started["id"])
        view.show_end(execution, files_in)
        return 0 if execution["state"]["current"] in GOOD_ENDS else 1


def _own_settings(arguments: argparse.Namespace) -> Settings:
    port = _free_port()
    private: Mapping[str, Any] = {
        "queue.type": "memory",
        "server.host": "127.0.0.1",
        "server.port": port,
        "api.url": f"http://127.0.0.1:{port}",
        "server.basic-auth.enabled": True,
        "server.basic-auth.username": "run@tiercel.local",
        "server.basic-auth.password": secrets.token_urlsafe(24),
    }
    return options.read(arguments, **private)


@asynccontextmanager
async def in_process(settings: Settings) -> AsyncIterator[None]:
    """Run all services in this process until the block ends."""
    async with AsyncExitStack() as stack:
        adapters = await wiring.in_memory(settings, stack)
        for name in SERVICES:
            await stack.enter_async_context(assembly.make(name, settings, adapters))
        yield


def _inputs(given: list[str]) -> dict[str, str | Path]:
    inputs: dict[str, str | Path] = {}
    for each in given:
        name, separator, value = each.partition("=")
        if not name:
            raise Refused(f"The input '{each}' has no name; write it as --input NAME=VALUE.")
        if not separator:
            raise Refused(f"The input '{each}' has no value; write it as --input {each}=VALUE.")
        if value.startswith("@"):
            file = Path(value[1:])
            if not file.is_file():
                raise Refused(f"The input '{name}' names the file '{file}', which does not exist.")
            inputs[name] = file
        else:
            inputs[name] = value
    return inputs


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refuse_unknown(given: Mapping[str, Any], called: Flow | None) -> None:
    """Refuse what is given to inputs that the flow does not have: it would be ignored."""
    if called is None:
        return
    known = [leaf.id for leaf, _ in placed_leaves(called.inputs, ())]
    for name in given:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise Refused(f"The flow '{called.namespace}.{called.id}' has no input '{name}'; {has}.")
