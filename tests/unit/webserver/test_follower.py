"""How followers of an execution wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tiercel.messages.topics import HISTORY
from tiercel.model.state import State
from tiercel.queue.memory import MemoryBackend
from tiercel.testing.fake_clock import FakeClock
from tiercel.webserver.follower import REST_FACTOR, Followers, Version, Watch


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


class SlowStore(MemoryBackend):
    """A store whose answers take time."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__(clock)
        self._clock, self._seconds = clock, seconds
        self.looks = 0

    async def versions(self, execution_ids: Sequence[str]) -> dict[str, Version]:
        self._clock.advance(self._seconds)
        self.looks += 1
        return {}


@pytest.mark.parametrize(("look_s", "rest_s"), [(0.0, 0.0), (0.001, 0.001 * REST_FACTOR), (1.0, 0.015)])
async def test_followers_rest_as_long_as_looks_take(look_s: float, rest_s: float) -> None:
    """Who waits alone for an end is told of it at once; a look that serves thousands is not repeated all the time."""
    clock = FakeClock()
    store = SlowStore(clock, look_s)
    followers = Followers(store, store, clock, interval_s=0.015)
    with followers.watch("e"):
        await turns()
        store.wake(HISTORY)
        await turns()
        early = store.looks
        clock.advance(rest_s)
        await turns()

        assert (2 if rest_s == 0 else 1, 2) == (early, store.looks)
    await followers.close()
