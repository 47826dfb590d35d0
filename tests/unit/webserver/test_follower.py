"""How followers of an execution wait."""

from __future__ import annotations

import asyncio

from tiercel.model.state import State
from tiercel.testing.fake_clock import FakeClock
from tiercel.webserver.follower import Watch


async def turns() -> None:
    """Let every task that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)  # others have their turn


async def test_a_follower_rests_whatever_happens_but_the_end() -> None:
    """A wide execution changes all the time, and takes long to read: only its end is worth to be told at once."""
    clock = FakeClock()
    watch = Watch(["e"], clock)
    rest = asyncio.create_task(watch.rest("e", 10.0))
    await turns()

    watch.tell("e", (1, State.RUNNING))
    clock.advance(9.0)
    await turns()
    watch.tell("e", (2, State.RUNNING))
    await turns()
    rested = not rest.done()
    watch.tell("e", (3, State.SUCCESS))
    await turns()

    assert rested
    assert rest.done()


async def test_a_rest_ends_in_time() -> None:
    """A follower of an execution that goes on for long sees something from time to time."""
    clock = FakeClock()
    rest = asyncio.create_task(Watch(["e"], clock).rest("e", 10.0))
    await turns()

    clock.advance(10.0)
    await turns()

    assert rest.done()
