"""
How long Tiercel waits for what can fail for a while, by name.

Two ideas only: a backend that is away is waited for without an end, because work goes on when it is back; a single
request that somebody waits for is tried a few times and then fails with its reason. Either way each failure is counted,
and the log says few of them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, TypeVar

import tenacity
from tenacity import AsyncRetrying, RetryCallState
from tenacity.stop import StopBaseT

from tiercel.errors import Unavailable
from tiercel.runtime import metrics

log = logging.getLogger(__name__)
T = TypeVar("T")

BACKOFF_FIRST_S: Final = 0.1
"""The first pause at most; each further one may be twice as long."""
BACKOFF_MAX_S: Final = 5.0
"""A backend that comes back is used again within this time."""
REQUEST_ATTEMPTS: Final = 3
"""The first may meet a connection that was cut, the second a backend that is just coming back."""
REQUEST_BACKOFF_MAX_S: Final = 1.0
"""Somebody waits for the answer: rather an error soon than an answer late."""


def backend(name: str) -> AsyncRetrying:
    """Wait for a lost backend (PostgreSQL, storage) for as long as it takes."""
    return _tries(name, tenacity.stop_never)


def start(name: str, timeout_s: float) -> AsyncRetrying:
    """Wait for a backend when a process starts; an address that is wrong must not hang for ever."""
    return _tries(name, tenacity.stop_after_delay(timeout_s))


def request(name: str) -> AsyncRetrying:
    """Try a request that somebody waits for a few times, quickly."""
    return _tries(name, tenacity.stop_after_attempt(REQUEST_ATTEMPTS), pause_max_s=REQUEST_BACKOFF_MAX_S)


def _tries(name: str, stop: StopBaseT, *, pause_max_s: float = BACKOFF_MAX_S) -> AsyncRetrying:
    return AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Unavailable),
        wait=tenacity.wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=pause_max_s),
        stop=stop,
        before_sleep=_Reporter(name),
        reraise=True,
    )


async def waiting(name: str, call: Callable[[], Awaitable[T]]) -> T:
    """
    Return what a call on a backend returns, and wait for the backend for as long as it takes.

    Nearly all calls succeed at once, and are not charged with the loop of tries (0.15 ms, as much as a statement).
    """
    try:
        return await call()
    except Unavailable:
        async for attempt in backend(name):
            with attempt:
                return await call()
        raise


class Outage:
    """
    Lets rounds of a loop fail while a backend is away: `with outage:` around what the next round does again anyhow.

    The log says when an outage begins and when it is over, however many rounds it takes; each failure is counted.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._failures = 0

    @property
    def lasts(self) -> bool:
        """True when the last round failed."""
        return self._failures > 0

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if isinstance(error, Unavailable):
            if not self._failures:
                log.warning("%s: waiting, because %s", self._work, error, extra={"action": "outage_begun"})
            self._failures += 1
            metrics.UNAVAILABLE.labels(self._work).inc()
            return True
        if error is None and self._failures:
            log.info("%s: going on after %d failures", self._work, self._failures, extra={"action": "outage_ended"})
            self._failures = 0
        return False


class _Reporter:
    """Counts failures; logs the first at once and then each doubling, so that an outage does not fill the log."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, state: RetryCallState) -> None:
        metrics.UNAVAILABLE.labels(self._name).inc()
        number = state.attempt_number
        if number & (number - 1) == 0:
            error = state.outcome.exception() if state.outcome is not None else None
            log.warning(
                "%s is not available, trying again: %s",
                self._name,
                error,
                extra={"action": "backend_unavailable", "backend": self._name, "attempt": number},
            )
