"""
The heartbeat: others run a silent worker's tasks again, so it must end them before they do.

It is sent apart from everything else, because a long batch of reports is no sign of life.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from tiercel.errors import Unavailable
from tiercel.messages.topics import WORKER_EVENT
from tiercel.messages.worker_event import WorkerHeartbeat
from tiercel.queue.base import Outgoing, Queue
from tiercel.runtime.clock import Clock
from tiercel.worker import metrics
from tiercel.worker.settings import WorkerSettings

log = logging.getLogger(__name__)


class Heart:
    """Tells that a worker lives, and knows for how long nobody has heard so."""

    def __init__(
        self, queue: Queue, clock: Clock, settings: WorkerSettings, beat: Callable[[], WorkerHeartbeat]
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._beat = beat
        self._heard: datetime = clock.now()

    @property
    def silent_s(self) -> float:
        """Seconds since the last heartbeat that was sent."""
        return (self._clock.now() - self._heard).total_seconds()

    @property
    def is_mute(self) -> bool:
        """True when the worker should claim nothing more."""
        return self.silent_s > self._settings.mute_s

    async def run(self, lost: Callable[[], None]) -> None:
        """Beat for ever; call `lost` when the silence has become too long, once per silence."""
        # Beside the beats: one that hangs must not put off the judgement.
        watch = asyncio.create_task(self._watch(lost), name="worker.silence")
        try:
            while not watch.done():
                await self._send()
                await self._clock.sleep(self._settings.heartbeat_s)  # the beat itself
        finally:
            watch.cancel()
        watch.result()

    async def _send(self) -> None:
        began = self._clock.now()
        try:
            # An emit that hangs is a silence too.
            async with asyncio.timeout(self._settings.mute_s / 2):
                await self._queue.emit(Outgoing(topic=WORKER_EVENT, key="", message=self._beat()))
            self._heard = began
        except (Unavailable, TimeoutError) as error:
            log.warning(
                "the heartbeat was not sent: %s",
                error,
                extra={"action": "heartbeat_failed", "silent_s": self.silent_s},
            )
        metrics.SILENT_SECONDS.set(self.silent_s)

    async def _watch(self, lost: Callable[[], None]) -> None:
        told: datetime | None = None
        while True:
            left_s = self._settings.lost_s - self.silent_s
            if left_s > 0:
                await self._clock.sleep(left_s)  # not before then can the silence be too long
            elif told == self._heard:
                await self._clock.sleep(self._settings.heartbeat_s)  # told already: look whether a beat is heard again
            else:
                told = self._heard
                log.error("the worker was silent for too long and ends what it runs", extra={"action": "worker_lost"})
                lost()
