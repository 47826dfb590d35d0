"""Streams of events (`text/event-stream`), written as the protocol wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import msgspec
from litestar.response import Stream

_ENCODE: Final = msgspec.json.Encoder().encode
KEEP_ALIVE: Final = b": still here\n\n"
KEEP_ALIVE_S: Final = 15.0
"""Proxies close a connection on which nothing is said for a minute."""


def event(name: str, data: Any) -> bytes:
    """Return one event; its id says what it is, as Kestra's do."""
    return b"id: %s\ndata: %s\n\n" % (name.encode(), _ENCODE(data))


def stream(events: AsyncGenerator[bytes], draining: asyncio.Event) -> Stream:
    """Return the answer that sends events as they come; it ends when the process drains: who listens comes again."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return Stream(_until(draining, events), media_type="text/event-stream", headers=headers)


async def _until(draining: asyncio.Event, events: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    stop = asyncio.ensure_future(draining.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(events, None))
            await asyncio.wait({coming, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                return
            said = coming.result()
            if said is None:
                return
            yield said
    finally:
        stop.cancel()
        await events.aclose()
