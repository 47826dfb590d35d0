"""
How long Tiercel waits for what can fail for a while, by name.

Two ideas only: a backend that is away is waited for without an end, because work goes on when it is back; a single
request that somebody waits for is tried a few times and then fails with its reason.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import tenacity
from tenacity import AsyncRetrying, RetryCallState

from tiercel.errors import Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
"""A backend that comes back is used again within this time."""
REQUEST_ATTEMPTS: Final = 3


def backend(name: str) -> AsyncRetrying:
    """Wait for a lost backend (PostgreSQL, storage) for as long as it takes."""
    return AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Unavailable),
        wait=tenacity.wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=BACKOFF_MAX_S),
        stop=tenacity.stop_never,
        before_sleep=_Reporter(name),
        reraise=True,
    )


def start(name: str, timeout_s: float) -> AsyncRetrying:
    """Wait for a backend when a process starts; an address that is wrong must not hang for ever."""
    return AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Unavailable),
        wait=tenacity.wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=BACKOFF_MAX_S),
        stop=tenacity.stop_after_delay(timeout_s),
        before_sleep=_Reporter(name),
        reraise=True,
    )


def request(name: str) -> AsyncRetrying:
    """Try a request that somebody waits for a few times, quickly."""
    return AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Unavailable),
        wait=tenacity.wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=1.0),
        stop=tenacity.stop_after_attempt(REQUEST_ATTEMPTS),
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


class _Reporter:
    """Logs the first failure at once and then each doubling, so that an outage does not fill the log."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, state: RetryCallState) -> None:
        number = state.attempt_number
        if number & (number - 1) == 0:
            error = state.outcome.exception() if state.outcome is not None else None
            log.warning(
                "%s is not available, trying again: %s",
                self._name,
                error,
                extra={"action": "backend_unavailable", "backend": self._name, "attempt": number},
            )
