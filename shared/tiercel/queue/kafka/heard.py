"""
What a reader without a database has heard of each sender, so that what comes again is dropped.

A sender that starts anew has another origin, and nobody says that the former one is gone. So those are forgotten that
were heard longest ago: what an origin has left is sent again within seconds of its end, or by whoever takes over.
"""

from __future__ import annotations

from typing import Final

ORIGINS_MAX: Final = 10_000
"""Origins that are remembered: about 2 MB."""


class Heard:
    """The highest sequence of each origin that was heard lately; each has its own order."""

    def __init__(self, origins_max: int = ORIGINS_MAX) -> None:
        self._max = origins_max
        self._last: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._last)

    def is_new(self, origin: str, seq: int) -> bool:
        """Note a message; tell whether it is heard for the first time."""
        last = self._last.pop(origin, 0)
        self._last[origin] = max(last, seq)  # the one that was heard last is the last one
        if len(self._last) > self._max:
            del self._last[next(iter(self._last))]
        return seq > last
