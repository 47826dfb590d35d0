"""
An executor that dies when it decides to kill the execution 'poison': `python -m tests.integration.mortal_executor URI`.

It dies as a process does that was killed for its memory: at once, without a word.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from tiercel.executor.handlers import execution_event as handler
from tiercel.executor.service import ExecutorService
from tiercel.executor.settings import ExecutorSettings
from tiercel.messages.execution_event import KillRequested
from tiercel.runtime import wiring
from tiercel.runtime.settings import Settings

decide = handler.decide


def die(base: Any, event: Any, facts: Any) -> Any:
    """Decide an event, or die of it."""
    if isinstance(event, KillRequested) and event.execution_id == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    return decide(base, event, facts)


async def live(uri: str, storage: str) -> None:
    """Be an executor until killed."""
    settings = Settings()
    settings = msgspec.structs.replace(
        settings, postgres=msgspec.structs.replace(settings.postgres, url=uri), data=storage
    )
    async with AsyncExitStack() as stack:
        adapters, _ = await wiring.connect("executor", settings, stack)
        await ExecutorService(adapters, ExecutorSettings(lease_ttl_s=0.5, lease_renew_s=0.1)).run()


if __name__ == "__main__":
    handler.decide = die
    asyncio.run(live(*sys.argv[1:]))
