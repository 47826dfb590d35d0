"""Work that would hold the loop, in a thread that holds neither the loop nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run(work: Callable[[], T], name: str) -> T:
    """
    Do work in a thread of its own; return what it returns, or raise what it raises.

    A thread cannot be killed: one that never returns is left behind when the wait is cancelled, and being daemonic it
    does not keep the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def do() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = work()
        except StopIteration as error:  # no future takes one
            failure = RuntimeError(f"The function stopped an iteration that it did not begin: {error!r}")
        except BaseException as error:  # it crosses to the loop that waits, whatever it is
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=do, name=name, daemon=True).start()
    return await future
