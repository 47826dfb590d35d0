"""The event loop whose time jumps."""

from __future__ import annotations

import asyncio
import time

from tiercel.testing.virtual_time import LoopClock, run_virtual


def test_hours_of_sleep_take_no_time() -> None:
    """When nothing else can run, the next timer is due at once, in the clock and in the loop."""

    async def sleep() -> float:
        clock = LoopClock()
        before = clock.now()
        await asyncio.gather(clock.sleep(3600), asyncio.sleep(1800))  # virtual time is what is tested
        return (clock.now() - before).total_seconds()

    passed = run_virtual(sleep())

    assert 3600 <= passed < 3605


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    """Jumping does not change who comes first."""
    woken: list[int] = []

    async def sleeper(hours: int) -> None:
        await asyncio.sleep(hours * 3600)  # virtual time is what is tested
        woken.append(hours)

    async def main() -> None:
        await asyncio.gather(*(sleeper(hours) for hours in (3, 1, 2)))

    run_virtual(main())

    assert [1, 2, 3] == woken


def test_time_does_not_jump_while_a_child_process_runs() -> None:
    """A process has the time that it really takes: a long timeout does not strike before it ends."""

    async def main() -> int | None:
        process = await asyncio.create_subprocess_exec("sleep", "0.2")
        await asyncio.wait_for(process.wait(), 60)
        return process.returncode

    assert 0 == run_virtual(main())


def test_time_does_not_jump_while_a_thread_works() -> None:
    """A thread has the time that it really takes."""

    async def main() -> str:
        async with asyncio.timeout(60):
            await asyncio.to_thread(time.sleep, 0.1)
        return "done"

    assert "done" == run_virtual(main())
