"""
THE table of topics: from it come Kafka topics, PostgreSQL queue tables, `docs/dataflow.md`, and the test that every
topic has its producers and its handlers.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec

from tiercel.messages.broadcast import Broadcast
from tiercel.messages.execution_event import ExecutionEvent
from tiercel.messages.history import History
from tiercel.messages.trigger_event import TriggerEvent
from tiercel.messages.worker_event import WorkerEvent
from tiercel.messages.worker_job import WorkerJob

M = TypeVar("M")


class Route(StrEnum):
    """How messages find their consumer (Kestra's three queue interfaces)."""

    DISPATCH = "dispatch"
    """One free consumer gets it."""
    KEYED = "keyed"
    """All messages of a key reach one owner, in order per producer."""
    BROADCAST = "broadcast"
    """Every running subscriber gets it at least once."""


class Topic(msgspec.Struct, Generic[M], frozen=True, kw_only=True):
    """One topic; `level` is the newest level of its messages that this version writes and reads."""

    name: str
    number: int
    message: Any
    route: Route
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    level: int = 1


EXECUTION_EVENT: Final[Topic[ExecutionEvent]] = Topic(
    name="execution_event", number=1, message=ExecutionEvent, route=Route.KEYED, key="execution_id",
    producers=("webserver", "scheduler", "executor", "worker"), consumers=("executor",),
)  # fmt: skip
TRIGGER_EVENT: Final[Topic[TriggerEvent]] = Topic(
    name="trigger_event", number=2, message=TriggerEvent, route=Route.KEYED, key="trigger_uid",
    producers=("webserver", "executor", "worker"), consumers=("scheduler",),
)  # fmt: skip
WORKER_EVENT: Final[Topic[WorkerEvent]] = Topic(
    name="worker_event", number=3, message=WorkerEvent, route=Route.BROADCAST, key="worker",
    producers=("worker",), consumers=("executor",),
)  # fmt: skip
WORKER_JOB: Final[Topic[WorkerJob]] = Topic(
    name="worker_job", number=4, message=WorkerJob, route=Route.DISPATCH, key="lane",
    producers=("executor", "scheduler"), consumers=("worker",),
)  # fmt: skip
HISTORY: Final[Topic[History]] = Topic(
    name="history", number=5, message=History, route=Route.KEYED, key="execution_id",
    producers=("executor", "scheduler", "webserver", "worker"), consumers=("indexer",),
)  # fmt: skip
BROADCAST: Final[Topic[Broadcast]] = Topic(
    name="broadcast", number=6, message=Broadcast, route=Route.BROADCAST, key="",
    producers=("webserver", "executor", "scheduler"), consumers=("executor", "worker", "scheduler", "webserver"),
)  # fmt: skip

TOPICS: Final = (EXECUTION_EVENT, TRIGGER_EVENT, WORKER_EVENT, WORKER_JOB, HISTORY, BROADCAST)

PARTITIONS_DEFAULT: Final = 16
"""Partitions of KEYED topics; fixed when an installation is made."""


def partition_of(key: str, partitions: int = PARTITIONS_DEFAULT) -> int:
    """Return the partition of a key: CRC-32 modulo their number, the same on every backend."""
    return zlib.crc32(key.encode()) % partitions
