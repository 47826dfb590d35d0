"""
What a worker sends: reports, logs and measurements, gathered by one loop into few messages and few transactions.

A report goes out at once, with all lines that were logged before it, in one transaction: who sees a task ended can
read its whole log. Lines without a report wait a moment for others. Nothing is dropped while the queue is away:
whoever logs much waits in `room`, and claims stop while many reports wait.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tiercel.messages.execution_event import Event
from tiercel.messages.history import LogBatch, MetricBatch
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY
from tiercel.model.execution import LogEntry, MetricEntry
from tiercel.queue.base import Outgoing, Queue
from tiercel.runtime import retry
from tiercel.worker import metrics
from tiercel.worker.errorlog import ErrorLog
from tiercel.worker.settings import WorkerSettings

BATCH_LINES_MAX: Final = 500
"""Lines of one message of log."""
BATCH_SIZE_MAX: Final = 1 << 20
"""Characters of one message of log."""
EVENTS_MAX: Final = 500
"""Reports of one transaction."""
EVENT_SIZE_MAX: Final = 4 << 20
"""Bytes of outputs in one transaction."""
WAITING_MAX: Final = 2000
"""Reports that may wait before the worker claims no more."""


class Outbox:
    """Sends what the runs of one worker have to say, in order."""

    def __init__(self, queue: Queue, worker: str, settings: WorkerSettings, error_log: ErrorLog) -> None:
        self._queue = queue
        self._worker = worker
        self._settings = settings
        self._error_log = error_log
        self._events: list[tuple[Outgoing, int]] = []
        self._logs: list[LogEntry] = []
        self._metrics: list[MetricEntry] = []
        self._sequence = 0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._sent = asyncio.Event()
        self._sending = False

    # What runs call

    def event(self, event: Event, size: int = 0) -> None:
        """Send a report soon; may be called from any thread."""
        self._events.append((Outgoing(topic=EXECUTION_EVENT, key=event.execution_id, message=event), size))
        self._notice(self._hurry)

    def send(self, outgoing: Outgoing) -> None:
        """Send another message soon, in order with the reports."""
        self._events.append((outgoing, 0))
        self._notice(self._hurry)

    def log(self, entry: LogEntry) -> None:
        """Send a line of log; may be called from any thread."""
        self._logs.append(entry)
        if entry.level == "ERROR":
            self._error_log.note(entry)
        self._notice(self._logged)

    def _notice(self, notice: Callable[[], None]) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(notice)
        else:
            notice()

    def _hurry(self) -> None:
        self._wake.set()
        self._urgent.set()

    def _logged(self) -> None:
        self._wake.set()
        if len(self._logs) >= BATCH_LINES_MAX:
            self._urgent.set()

    def metric(self, entry: MetricEntry) -> None:
        """Send a measurement; may be called on the loop only."""
        self._metrics.append(entry)
        self._wake.set()

    async def room(self) -> None:
        """Wait while too many lines wait to be sent; may be awaited on the loop of any thread."""
        if threading.get_ident() != self._thread:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.room(), self._loop))
            return
        while len(self._logs) > self._settings.log_lines_pending_max:
            self._sent.clear()
            self._urgent.set()
            await self._sent.wait()

    @property
    def is_full(self) -> bool:
        """True when so many reports wait that no job should be claimed."""
        return len(self._events) > WAITING_MAX

    @property
    def is_empty(self) -> bool:
        """True when everything was sent."""
        return not (self._events or self._logs or self._metrics or self._sending)

    async def emptied(self) -> None:
        """Wait until everything was sent."""
        while not self.is_empty:
            self._sent.clear()
            self._urgent.set()
            await self._sent.wait()

    # The loop

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._wake.wait()
            if not self._events:
                await self._linger()
            await asyncio.sleep(0)  # one turn of the loop, so that tasks that end together are reported together
            self._wake.clear()
            self._urgent.clear()
            await self._send_all()

    async def _linger(self) -> None:
        try:
            # Lines may gather for this long, unless something urgent comes.
            async with asyncio.timeout(self._settings.log_delay_s):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _send_all(self) -> None:
        while self._events or self._logs or self._metrics:
            events, lines, measurements = self._take()
            batch = [*self.history(lines, measurements), *events]
            self._sending = True
            metrics.REPORTS_WAITING.set(len(batch) + len(self._events) + len(self._logs))
            try:
                await retry.waiting("queue", functools.partial(self._queue.emit, *batch))
            finally:
                self._sending = False
                self._sent.set()
            metrics.BATCH_SIZE.observe(len(events))
            metrics.REPORTS_WAITING.set(len(self._events) + len(self._logs))

    def _take(self) -> tuple[list[Outgoing], list[LogEntry], list[MetricEntry]]:
        count = size = 0
        for _, event_size in self._events[:EVENTS_MAX]:
            size += event_size
            if size > EVENT_SIZE_MAX and count:
                break
            count += 1
        events = [outgoing for outgoing, _ in self._events[:count]]
        del self._events[:count]
        # Threads append while this runs: what is counted is taken, what comes later stays.
        lines = self._logs[: len(self._logs)]
        del self._logs[: len(lines)]
        measurements, self._metrics = self._metrics, []
        return events, lines, measurements

    def history(self, lines: Sequence[LogEntry], measurements: Sequence[MetricEntry]) -> list[Outgoing]:
        """Return the messages that tell of lines and measurements; they are to be sent once."""
        return [*self._batches(lines), *self._measured(measurements)]

    def _batches(self, lines: Sequence[LogEntry]) -> Iterable[Outgoing]:
        batch: list[LogEntry] = []
        size = 0
        for line in lines:
            batch.append(line)
            size += len(line.message)
            if len(batch) >= BATCH_LINES_MAX or size >= BATCH_SIZE_MAX:
                yield self._outgoing(LogBatch(producer=self._worker, sequence=self._next(), entries=tuple(batch)))
                batch, size = [], 0
        if batch:
            yield self._outgoing(LogBatch(producer=self._worker, sequence=self._next(), entries=tuple(batch)))

    def _measured(self, entries: Sequence[MetricEntry]) -> Iterable[Outgoing]:
        for start in range(0, len(entries), BATCH_LINES_MAX):
            part = tuple(entries[start : start + BATCH_LINES_MAX])
            yield self._outgoing(MetricBatch(producer=self._worker, sequence=self._next(), entries=part))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _outgoing(self, message: Any) -> Outgoing:
        # By worker and not by execution: the lines of many executions share one message and keep their order.
        return Outgoing(topic=HISTORY, key=self._worker, message=message)
