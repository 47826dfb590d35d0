"""A limit of real time for one case: what hangs fails with a sentence, and the next case runs."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Hung(BaseException):
    """The case did not end in time. Not an Exception, so that no service takes it for one of its own."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise Hung in the main thread when the block takes longer."""

    def strike(number: int, frame: FrameType | None) -> None:
        raise Hung(f"It did not end within {seconds:.0f} s of real time.")

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
