"""Worker events: heartbeats, kept for the judgement of who lives."""

from __future__ import annotations

from tiercel.executor.liveness import Liveness
from tiercel.messages.topics import WORKER_EVENT
from tiercel.messages.worker_event import WorkerHeartbeat
from tiercel.queue.base import Queue
from tiercel.runtime.clock import Clock


class WorkerEventHandler:
    """Hears the heartbeats of all workers."""

    def __init__(self, queue: Queue, liveness: Liveness, clock: Clock) -> None:
        self._queue = queue
        self._liveness = liveness
        self._clock = clock

    async def listen(self) -> None:
        """Note every heartbeat, until cancelled."""
        async for beat in self._queue.subscribe(WORKER_EVENT):
            if isinstance(beat, WorkerHeartbeat):
                self._liveness.hear(beat.worker, self._clock.now(), () if beat.draining else beat.lanes)
