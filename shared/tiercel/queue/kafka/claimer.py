"""
One worker's account of its jobs: what it was sent, has begun, and lets itself be sent. Pure counting.

A job takes a round trip from the worker's credit to its inbox, and a worker whose tasks are shorter than that would
stand idle most of the time. So one that ends many asks for more than it has slots for: as many as it has ended within
the last `AHEAD_S`, less its slots, so that who works on long tasks asks for none; or for as many as it has slots that
will be free soon, when it knows. What has waited for this long all the same, and by what was ended lately would wait
for as long again, is handed back for others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec

from tiercel.messages.topics import WORKER_JOB
from tiercel.messages.worker_event import WorkerCredit
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue.kafka.heard import Heard

AHEAD_S: Final = 0.5
"""An idle worker is to have a job within a second: it waits at most twice as long in another one's inbox."""
AHEAD_MAX: Final = 512
"""Jobs that a worker lets itself be sent ahead: what its death delays until it is noticed."""
MARK_S: Final = 0.02
"""How exactly it is known when jobs have ended."""


class _Waiting(msgspec.Struct):
    job: WorkerJob
    since: float


class Claimer:
    """One worker of this process."""

    def __init__(self, worker: str, lanes: tuple[str, ...]) -> None:
        self.worker = worker
        self.lanes = lanes
        self.received = 0
        self.granted = 0
        self.ahead = 0
        self.leaving = False
        self.farewell: int | None = None
        """How much it was sent in all, when it leaves."""
        self.heard = Heard()
        self.changed = asyncio.Event()
        self._jobs: deque[_Waiting] = deque()
        self._handed = 0
        self._slots = 0
        self._ended: deque[tuple[float, int]] = deque()
        self._told = (0, 0)

    def take(self, job: WorkerJob, now: float) -> None:
        """Keep a job that has come."""
        self.received += 1
        self._jobs.append(_Waiting(job, now))

    def skip(self) -> None:
        """Count a message that should have been a job."""
        self.received += 1
        self._handed += 1

    def claim(self, count: int, now: float, soon: int = 0) -> list[WorkerJob]:
        """Hand over at most so many jobs, and grant what is missing; so many more will be missing soon."""
        self._slots = max(self._slots, count)
        granted = self._handed + count
        ended = self._handed - (self._slots - count)
        if not self._ended or now - self._ended[-1][0] >= MARK_S:
            self._ended.append((now, ended))
        else:
            self._ended[-1] = (self._ended[-1][0], ended)
        self.ahead = max(0, min(AHEAD_MAX, max(soon, self._lately(now, ended) - self._slots)))
        taken = [self._jobs.popleft().job for _ in range(min(count, len(self._jobs)))]
        self._handed += len(taken)
        self.granted = max(self.granted, granted)
        return taken

    def _lately(self, now: float, ended: int) -> int:
        """Return how many of all the jobs that have ended have done so within `AHEAD_S`."""
        marks = self._ended
        while len(marks) > 1 and now - marks[1][0] >= AHEAD_S:
            marks.popleft()
        return ended - marks[0][1] if marks else 0

    def overdue(self, now: float) -> list[WorkerJob]:
        """Return jobs that have waited too long, and would for long still; this worker will not run them."""
        lately = self._lately(now, self._ended[-1][1]) if self._ended else 0
        kept = max(lately, self.granted - self._handed)  # what a slot is free for is begun at once
        found = []
        while len(self._jobs) > kept and now - self._jobs[kept].since >= AHEAD_S:
            found.append(self._jobs[kept].job)
            del self._jobs[kept]
        if found:
            self._handed += len(found)
            self.ahead = 0
        return found

    def all(self) -> list[WorkerJob]:
        """Return every job that was not handed over."""
        found = [waiting.job for waiting in self._jobs]
        self._jobs.clear()
        self._handed += len(found)
        return found

    @property
    def is_empty(self) -> bool:
        """True when no job waits to be handed over."""
        return not self._jobs

    @property
    def is_news(self) -> bool:
        """True when the worker may be sent more, or less, than it has told."""
        return self._told != (self.granted, self.ahead)

    @property
    def is_urgent(self) -> bool:
        """True when less than half of what it could be sent is told: soon nothing would come."""
        wanted = self.granted + self.ahead - self.received
        return 2 * self._to_come < wanted

    @property
    def is_short(self) -> bool:
        """True when less than half of its slots would get a job by what is told: the next that is free stands idle."""
        return sum(self._told) < self.granted + self.ahead and 2 * self._to_come < self._slots

    @property
    def _to_come(self) -> int:
        return sum(self._told) - self.received

    def credit(self) -> WorkerCredit:
        """Return what the worker tells; it is told by this."""
        self._told = (self.granted, self.ahead)
        return WorkerCredit(
            worker=self.worker,
            lanes=self.lanes,
            granted=self.granted,
            ahead=self.ahead,
            level=WORKER_JOB.level,
            leaving=self.leaving,
        )
