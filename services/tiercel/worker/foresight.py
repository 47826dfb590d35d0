"""
When slots will be free, as far as tasks of the same kind have lately taken the same time.

Where jobs are sent to workers a slot stands idle while its worker asks for the next one. Of a slot that is about to be
free the worker can ask in advance. What it foresees wrongly lets a job wait in vain until it is handed back, so nothing
is foreseen of kinds whose times differ, and of a run that takes longer than its kind has.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from typing import Final

import msgspec

from tiercel.messages.worker_job import TaskJob

LEAD_S: Final = 0.25
"""How long before its end a run is foreseen to end, and how exactly times of a kind must agree."""
SHORT_S: Final = 0.5
"""Runs that take less are not foreseen: of those a worker asks for as many as it ends."""
GRAIN_S: Final = 0.05
"""Runs that end within so short a time are foreseen together."""
KINDS_MAX: Final = 10_000
"""Kinds that are known, those that have ended lately: about 3 MB."""

Kind = tuple[str, str, str, str]
"""Tenant, namespace, flow and task."""


class _Times(msgspec.Struct):
    """How long runs of a kind have taken lately: what was longer, or shorter, is forgotten by and by."""

    longest: float
    shortest: float

    def add(self, seconds: float) -> None:
        self.longest = max(seconds, (3 * self.longest + seconds) / 4)
        self.shortest = min(seconds, (3 * self.shortest + seconds) / 4)


class Foresight:
    """What is known of the runs of one worker."""

    def __init__(self, kinds_max: int = KINDS_MAX) -> None:
        self._kinds_max = kinds_max
        self._kinds: OrderedDict[Kind, _Times] = OrderedDict()
        self._running: dict[int, tuple[Kind, float, float | None]] = {}
        """For each run: its kind, when it began, and when it is expected to end."""
        self._dues: list[float] = []
        """When runs are expected to end, in order."""

    def began(self, run: int, job: TaskJob, now: float) -> None:
        """Note a run, named by any number."""
        kind = (job.tenant_id, job.namespace, job.flow_id, job.task_id)
        known, due = self._kinds.get(kind), None
        if known is not None and known.longest >= SHORT_S and known.longest - known.shortest <= LEAD_S:
            due = (now + known.longest) // GRAIN_S * GRAIN_S
            insort(self._dues, due)
        self._running[run] = (kind, now, due)

    def ended(self, run: int, now: float) -> None:
        """Note that a run has ended."""
        found = self._running.pop(run, None)
        if found is None:
            return
        kind, began, due = found
        if due is not None:
            del self._dues[bisect_left(self._dues, due)]
        times = self._kinds.pop(kind, None)
        if times is None:
            times = _Times(now - began, now - began)
        else:
            times.add(now - began)
        self._kinds[kind] = times  # the one that has ended last is the last one
        if len(self._kinds) > self._kinds_max:
            self._kinds.popitem(last=False)

    def soon(self, now: float) -> int:
        """Return how many runs are expected to end within `LEAD_S`, or were so and still may."""
        return bisect_left(self._dues, now + LEAD_S) - bisect_left(self._dues, now - LEAD_S)

    def changes_in(self, now: float) -> float | None:
        """Return the seconds until `soon` is another number by itself, None if it stays."""
        begin, end = bisect_left(self._dues, now - LEAD_S), bisect_left(self._dues, now + LEAD_S)
        changes = [self._dues[end] - LEAD_S] if end < len(self._dues) else []
        if begin < end:
            changes.append(self._dues[begin] + LEAD_S)
        return max(0.0, min(changes) - now) + GRAIN_S / 10 if changes else None
