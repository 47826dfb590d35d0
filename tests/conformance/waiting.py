"""Waiting for what an engine will do: asked again and again until it holds, or until the case's time is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from tests.conformance.engine import Engine
from tests.conformance.result import Mismatch
from tests.conformance.values import duration

T = TypeVar("T")

FIRST_POLL_S = 0.005
"""The first pause between two looks; each further one is longer."""
POLL_S_MAX = 0.05
"""The longest pause between two looks."""
RUN_TIMEOUT = "PT15S"
AWAIT_TIMEOUT = "PT20S"
SLACK = timedelta(seconds=15)
"""Real machines are slower than the ones that the cases' timeouts were written on."""


async def until(
    engine: Engine,
    ask: Callable[[], Awaitable[T | None]],
    timeout: str | None,
    missing: Callable[[], Awaitable[str]],
) -> T:
    """Return the first answer that is not None; raise Mismatch with `missing` when the time is over."""
    deadline = engine.now() + duration(timeout or AWAIT_TIMEOUT) + SLACK
    pause = FIRST_POLL_S
    while (answer := await ask()) is None:
        if engine.now() >= deadline:
            raise Mismatch(f"After {timeout or AWAIT_TIMEOUT}: {await missing()}")
        await engine.sleep(pause)  # an engine behind an API tells nobody
        pause = min(POLL_S_MAX, pause * 1.3)
    return answer


async def eventually(engine: Engine, check: Callable[[], Awaitable[None]], timeout: str = "PT10S") -> None:
    """Try a check until it raises no Mismatch; raise the last one when the time is over."""
    deadline = engine.now() + duration(timeout)
    pause = FIRST_POLL_S
    while True:
        try:
            return await check()
        except Mismatch:
            if engine.now() >= deadline:
                raise
        await engine.sleep(pause)  # an engine behind an API tells nobody
        pause = min(0.25, pause * 1.5)
