"""
Jobs are taken by deleting their rows: the statement, and what the rows say.

Workers take for themselves (`PostgresQueue.claim`); on Kafka the dispatcher takes for them, by the same statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tiercel.messages import codec
from tiercel.messages.topics import WORKER_JOB, Topic
from tiercel.messages.worker_job import WorkerJob
from tiercel.queue.base import Outgoing
from tiercel.queue.postgres.sending import SQL
from tiercel.queue.refusal import refusals
from tiercel.runtime.postgres.array import byteas, texts

Row = tuple[Any, ...]
"""rank, id, owner, seq, level, body, transaction"""
Letter = tuple[str, str, bytes]
"""Key, reason and body of a message that nobody can work on."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by rank and age, each with its row, and what is no job."""

    transaction: str
    jobs: list[tuple[WorkerJob, Row]]
    undecodable: list[Letter]
    refusals: list[Outgoing]
    """What executions are told of what is no job."""


def statement(lanes: Sequence[str], level: int, count: int) -> tuple[bytes, dict[str, Any]]:
    """Return the statement that takes at most so many jobs, and its parameters."""
    parameters = {"lane": lanes[0], "lanes": texts(lanes), "level": level, "count": count}
    return SQL["claim"] if len(lanes) == 1 else SQL["claim_lanes"], parameters


def taken(rows: Sequence[Row]) -> Taken:
    """Read the rows of a claim, at least one."""
    jobs: list[tuple[WorkerJob, Row]] = []
    undecodable: list[Letter] = []
    refused: list[Outgoing] = []
    for row in sorted(rows):
        _, _, owner, seq, level, body, _ = row
        try:
            jobs.append((codec.decode(WORKER_JOB, body, level), row))
        except codec.Undecodable as error:
            undecodable.append((owner, str(error), body))
            refused += refusals(owner, seq, str(error))
    return Taken(transaction=rows[0][6], jobs=jobs, undecodable=undecodable, refusals=refused)


def letters(topic: Topic[Any], found: Sequence[Letter]) -> dict[str, Any]:
    """Return the parameters of the statement `bury`."""
    return {
        "topics": texts([topic.name] * len(found)),
        "keys": texts([key for key, _, _ in found]),
        "reasons": texts([reason for _, reason, _ in found]),
        "bodies": byteas([body for _, _, body in found]),
    }
