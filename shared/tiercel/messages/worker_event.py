"""What workers tell about themselves."""

from __future__ import annotations

import msgspec


class WorkerHeartbeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A worker lives; `ended` counts all jobs that it has ended since its start."""

    worker: str
    lanes: tuple[str, ...]
    slots: int
    ended: int
    draining: bool = False


WorkerEvent = WorkerHeartbeat
