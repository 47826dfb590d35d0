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


class WorkerCredit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """
    How many jobs a worker may be sent in all, since its start (Kafka: jobs are sent, not fetched).

    It begins those that it has granted at once. `ahead` so many more will not wait for long, because it ends many.
    """

    worker: str
    lanes: tuple[str, ...]
    granted: int
    ahead: int = 0
    level: int = 1
    """The newest level of jobs that it knows."""
    leaving: bool = False
    """It wants no more, and is to be told how many it was sent."""


WorkerEvent = WorkerHeartbeat | WorkerCredit
