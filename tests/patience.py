"""
How long a test waits for what must come, and how it looks for what tells nobody that it has come.

Patience costs nothing when it comes. On a machine that is slow, or stands still for a while, nobody may give up before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

PATIENCE_S: Final = 60.0
LOOK_S: Final = 0.02
"""Between two looks at another process, a broker or a database: often enough for nobody to notice the wait."""
FOR_EVER_S: Final = 3600.0
"""A wait that is to be ended by a signal: it lasts so much longer than patience that its own end proves nothing."""
T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T | None]], what: str, *, within_s: float = PATIENCE_S, every_s: float = LOOK_S
) -> T:
    """Look until what is seen is true, and return it; fail when the time is over, and tell what was seen last."""
    found = await at_last(look, bool, within_s=within_s, every_s=every_s)
    assert found, f"Waited {within_s:g} s for {what}, in vain; seen last: {found!r}"
    return found


async def at_last(
    look: Callable[[], Awaitable[T]],
    is_good: Callable[[T], bool],
    *,
    within_s: float = PATIENCE_S,
    every_s: float = LOOK_S,
) -> T:
    """Look until what is seen is good, or the time is over; return what was seen last."""
    deadline = time.monotonic() + within_s
    while not is_good(found := await look()) and time.monotonic() < deadline:  # noqa: ASYNC110 there is no event
        await asyncio.sleep(every_s)  # what is looked at tells nobody when it changes
    return found


def look_until(look: Callable[[], T | None], what: str, *, within_s: float = PATIENCE_S) -> T:
    """Do as `until` does, where there is no loop of events."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"Waited {within_s:g} s for {what}, in vain; seen last: {found!r}"
        time.sleep(LOOK_S)  # what is looked at tells nobody when it changes
    return found
