"""
A connection that first waits for its answer in place, and only then in the event loop.

A statement of the queue is answered in a fraction of a millisecond; going through the event loop for it costs more CPU
than the statement itself. So a wait asks the socket directly for a moment. An answer that takes longer is waited for in
the usual way, and the loop is free meanwhile.
"""

from __future__ import annotations

import select
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

PATIENCE_MS: Final = 2
"""The longest time that the event loop stands still for an answer."""

Prepared = tuple[bytes, tuple[int, ...]]
"""A statement with the types of its parameters."""

RV = TypeVar("RV")
_EVENTS: Final = {
    Wait.R: select.POLLIN,
    Wait.W: select.POLLOUT,
    Wait.RW: select.POLLIN | select.POLLOUT,
}


class PromptConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """Waits for quick answers without the event loop, if it `is_prompt`; knows the statements that batches prepared."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.is_prompt = False
        self.prepared: dict[Prepared, bytes] = {}
        self.prepared_count = 0

    async def wait(self, gen: PQGen[RV], *arguments: Any, **named: Any) -> RV:
        """Drive a generator of the protocol to its end; the first moments of each wait are spent on the socket."""
        if not self.is_prompt:
            return await super().wait(gen, *arguments, **named)
        poller = select.poll()
        descriptor = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                poller.register(descriptor, _EVENTS[wanted])
                happened = poller.poll(PATIENCE_MS)
                if not happened:
                    break
                wanted = gen.send(_ready(happened[0][1]))
        except StopIteration as stop:
            value: RV = stop.value
            return value
        return await super().wait(_going_on(gen, wanted), *arguments, **named)


def _ready(events: int) -> int:
    # An error or hang-up is reported as readiness: the next read or write tells what it is.
    failed = events & (select.POLLERR | select.POLLHUP | select.POLLNVAL)
    ready = int(Ready.NONE)
    if events & select.POLLIN or failed:
        ready |= Ready.R
    if events & select.POLLOUT or failed:
        ready |= Ready.W
    return ready


def _going_on(gen: PQGen[RV], wanted: Wait) -> Generator[Wait, Ready | int, RV]:
    """Return a generator that goes on where another has stopped."""
    try:
        while True:
            ready = yield wanted
            wanted = gen.send(ready)
    except StopIteration as stop:
        value: RV = stop.value
        return value
