"""
One service as a process: event loop, signals, logs, management port, and a clean end.

SIGTERM or SIGINT asks the service to drain; a second one ends the process at once. Once the service is ready, what was
loaded until then is taken out of the garbage collector's sight: it stays anyway, and its memory pages stay shared with
the process that it was forked from.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from tiercel.errors import OperatorError
from tiercel.runtime import logging as logs
from tiercel.runtime import metrics, version
from tiercel.runtime.health import Check, ManagementServer
from tiercel.runtime.service import Service
from tiercel.runtime.settings import Settings

log = logging.getLogger(__name__)

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2
"""Starting again does not help: the operator must act first."""

Assembly = Callable[[AsyncExitStack], Awaitable[tuple[Service, dict[str, Check]]]]
"""Makes a service with its adapters; what must be closed later goes onto the stack."""


def run(name: str, settings: Settings, assemble: Assembly, *, on_ready: Callable[[], None] | None = None) -> int:
    """Run one service until it is asked to stop; return the exit code of the process."""
    logs.configure(form=settings.logging.format, level=settings.logging.level, service=name)
    try:
        return uvloop.run(_serve(name, settings, assemble, on_ready))
    except OperatorError as error:
        log.error("%s", error, extra={"action": "process_not_started"})
        return EXIT_SETTINGS
    except Exception:  # the last line of defence: logged, with an exit code
        log.exception("process failed", extra={"action": "process_failed"})
        return EXIT_FAILED


async def _serve(name: str, settings: Settings, assemble: Assembly, on_ready: Callable[[], None] | None) -> int:
    async with AsyncExitStack() as stack:
        service, checks = await assemble(stack)
        _obey_signals(service)
        metrics.begin(name, flows_max=settings.metrics.flows_max)
        if settings.server.management_port:
            exposition = metrics.Exposition(service=name, kestra_names=settings.metrics.kestra_names)
            management = ManagementServer(name, checks, ready=service.ready.is_set, exposition=exposition)
            await management.start(settings.api_host, settings.server.management_port)
            stack.push_async_callback(management.stop)
        announcement = asyncio.create_task(_announce(service, on_ready))
        try:
            await service.run()
        finally:
            announcement.cancel()
    log.info("service stopped", extra={"action": "service_stopped"})
    return EXIT_OK


async def _announce(service: Service, on_ready: Callable[[], None] | None) -> None:
    await service.ready.wait()
    gc.collect()
    gc.freeze()
    log.info("service ready", extra={"action": "service_ready", "version": version.tiercel(), "pid": os.getpid()})
    if on_ready is not None:
        on_ready()


def _obey_signals(service: Service) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if service.stopping:
            log.warning("stopped by a second signal", extra={"action": "service_aborted"})
            os._exit(EXIT_FAILED)
        log.info("service stopping", extra={"action": "service_stopping"})
        service.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
