"""Wake-ups inside a process."""

from __future__ import annotations

import asyncio

import pytest

from tiercel.queue.wakeup import Wakeups
from tiercel.testing.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def wakeups(clock: FakeClock) -> Wakeups:
    return Wakeups(clock.sleep)


async def turn() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)  # others have their turn


async def test_a_wait_ends_with_the_clocks_timeout(wakeups: Wakeups, clock: FakeClock) -> None:
    """The clock decides, not the loop."""
    waiting = asyncio.create_task(wakeups.wait("t", 3600))
    await turn()
    assert not waiting.done()

    clock.advance(3600)
    await turn()

    assert waiting.done()


async def test_an_announcement_before_the_first_wait_is_not_missed(wakeups: Wakeups) -> None:
    """What is announced while nobody waits is kept for the next wait, once."""
    wakeups.announce("t")

    first = asyncio.create_task(wakeups.wait("t", 60))
    await turn()
    second = asyncio.create_task(wakeups.wait("t", 60))
    await turn()

    assert (True, False) == (first.done(), second.done())
    second.cancel()


async def test_each_task_learns_of_an_announcement_once(wakeups: Wakeups) -> None:
    """Two consumers that are both busy while it comes both return at once, and then wait."""
    returns: list[str] = []
    gate = asyncio.Event()

    async def consume(name: str) -> None:
        await wakeups.wait("t", 60)
        returns.append(name)
        await gate.wait()
        await wakeups.wait("t", 60)
        returns.append(name)
        await wakeups.wait("t", 60)
        returns.append(name)

    tasks = [asyncio.create_task(consume(name)) for name in ("a", "b")]
    await turn()
    wakeups.announce("t")
    await turn()
    wakeups.announce("t")
    gate.set()
    await turn()

    assert ["a", "a", "b", "b"] == sorted(returns)
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize(
    ("announced", "wanted", "woken"),
    [([1], [1, 2], True), ([3], [1, 2], False), (None, [1], True), ([3], None, True), ([1], [], False)],
)
@pytest.mark.parametrize("before", [True, False])
async def test_partitions_decide_who_is_woken(
    wakeups: Wakeups, announced: list[int] | None, wanted: list[int] | None, woken: bool, before: bool
) -> None:
    """Whether it is announced before the wait or during it; what names no partitions concerns all."""
    if before:
        wakeups.announce("t", announced)
    waiting = asyncio.create_task(wakeups.wait("t", 60, wanted))
    await turn()
    if not before:
        wakeups.announce("t", announced)
        await turn()

    assert woken == waiting.done()
    waiting.cancel()


async def test_topics_do_not_wake_each_other(wakeups: Wakeups) -> None:
    """Nor does one that is announced to everyone later wake twice."""
    waiting = asyncio.create_task(wakeups.wait("t", 60))
    await turn()
    wakeups.announce("other")
    await turn()
    assert not waiting.done()

    wakeups.announce_everything()
    await turn()

    assert waiting.done()


async def test_a_cancelled_wait_leaves_nothing_behind(wakeups: Wakeups, clock: FakeClock) -> None:
    """Neither a waiter nor a sleeper."""
    waiting = asyncio.create_task(wakeups.wait("t", 60))
    await turn()
    waiting.cancel()
    await turn()

    assert None is clock.next_deadline
    wakeups.announce("t")
