"""Streams of events (`text/event-stream`), written as the protocol wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


def stream(events: AsyncIterator[bytes]) -> Stream:
    """Return the answer that sends events as they come."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return Stream(events, media_type="text/event-stream", headers=headers)
