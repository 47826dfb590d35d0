"""Messages on their way into the tables: rows gathered by topic, one statement a topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tiercel.messages import codec
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY, WORKER_JOB, Route, Topic, partition_of
from tiercel.messages.worker_job import TaskJob
from tiercel.queue import metrics
from tiercel.queue.base import Outgoing, OutgoingJob
from tiercel.queue.postgres import arrivals
from tiercel.queue.postgres.arrivals import EventRow
from tiercel.runtime.postgres.array import byteas, int2s, int4s, int8s, texts
from tiercel.runtime.postgres.batch import Parameters, Statement
from tiercel.runtime.postgres.statement import Statements

SQL: Final = Statements("tiercel.queue.postgres", "queue.sql")

LEASE_LOST: Final = "TQ001"
STALE: Final = "TQ002"
"""SQLSTATEs that our own statements raise."""


def table_of(topic: Topic[Any]) -> str:
    """Return the topic's table."""
    return f"tq.{topic.name}"


class _Rows:
    """Columns of one topic."""

    __slots__ = ("bodies", "keys", "parts", "topic")

    def __init__(self, topic: Topic[Any]) -> None:
        self.topic = topic
        self.parts: list[int] = []
        self.keys: list[str] = []
        self.bodies: list[bytes] = []

    def columns(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "levels": int2s([self.topic.level] * len(self.bodies)),
            "bodies": byteas(self.bodies),
        }
        if self.topic.route is Route.KEYED:
            found["parts"] = int2s(self.parts)
            found["keys"] = texts(self.keys)
        return found


class Sending:
    """What is to be sent in one transaction. Messages are encoded when they are added: what cannot be is refused."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._rows: dict[str, _Rows] = {}
        self._jobs: list[tuple[OutgoingJob, bytes]] = []
        self._told: dict[str, tuple[str, dict[str, str]]] = {}
        self.count = 0
        self.size = 0

    def add(self, messages: Iterable[Outgoing]) -> None:
        """Add messages of KEYED and BROADCAST topics."""
        for out in messages:
            topic = out.topic
            rows = self._rows.get(topic.name)
            if rows is None:
                rows = self._rows[topic.name] = _Rows(topic)
            body = codec.encode(out.message)
            if topic.route is Route.KEYED:
                rows.parts.append(partition_of(out.key, self._partitions))
                rows.keys.append(out.key)
            rows.bodies.append(body)
            self.count += 1
            self.size += len(body)

    def add_jobs(self, jobs: Iterable[OutgoingJob]) -> None:
        """Add jobs."""
        for out in jobs:
            body = codec.encode(out.job)
            self._jobs.append((out, body))
            self.count += 1
            self.size += len(body)

    def include(self, other: Sending) -> None:
        """Add what another one holds, after what is here."""
        for name, rows in other._rows.items():
            mine = self._rows.setdefault(name, _Rows(rows.topic))
            mine.parts += rows.parts
            mine.keys += rows.keys
            mine.bodies += rows.bodies
        self._jobs += other._jobs
        self.count += other.count
        self.size += other.size

    def tell(self, topic: str, channel: str, payload: str, earlier: Iterable[str] | None) -> bool:
        """
        Let the statement that appends to a topic tell of it, by a signal that carries what it appends if that fits.

        It carries what was appended `earlier` and not told of too, and nothing if that is None. False when nothing is
        appended that could tell.
        """
        rows = self._rows.get(topic)
        if earlier is not None and topic in arrivals.CARRIED:
            head = arrivals.head(payload, earlier)
            keys = rows.keys if rows is not None else [out.lane for out, _ in self._jobs]
            bodies = rows.bodies if rows is not None else [body for _, body in self._jobs]
            if arrivals.fits(head, keys, bodies):
                self._told[topic] = "_carried", {"channel": channel, "payload": head}
                return True
        if rows is None or rows.topic.route is not Route.KEYED:
            return False
        self._told[topic] = "_told", {"channel": channel, "payload": payload}
        return True

    def statements(self, *, is_numbered: bool = False) -> Iterator[Statement]:
        """Yield the statements that append everything; numbered ones return the numbers of messages, a row each."""
        self._count()
        untold: tuple[str, dict[str, str]] = "_numbered" if is_numbered else "", {}
        for name, rows in self._rows.items():
            if rows.topic.route is not Route.KEYED:
                yield SQL.of("announce", table_of(rows.topic)), rows.columns()
            else:
                kind, told = self._told.get(name, untold)
                yield SQL.of(f"send{kind}", table_of(rows.topic)), rows.columns() | told
        if self._jobs:
            kind, told = self._told.get(WORKER_JOB.name, ("", {}))
            yield SQL[f"send_jobs{kind}"], self._job_columns() | told

    def taking(self, place: Parameters) -> Statement:
        """
        Return the one statement that takes a job and then, if it was there, appends everything and tells of events.

        There are events, for which `tell` has returned True, and history.
        """
        self._count()
        kind, told = self._told[EXECUTION_EVENT.name]
        history = {f"h_{name}": column for name, column in self.columns(HISTORY).items()}
        carries = {"carries": int(kind == "_carried")}
        return SQL["finish_arrived"], {**place, **self.columns(EXECUTION_EVENT), **history, **told, **carries}

    def columns(self, topic: Topic[Any]) -> Parameters:
        """Return the messages of a topic as columns."""
        return self._rows.get(topic.name, _Rows(topic)).columns()

    def carried(self, topic: Topic[Any], numbers: Sequence[int]) -> list[str] | None:
        """Return messages that were appended with these numbers as signals carry them; None if that is too much."""
        rows = self._rows[topic.name]
        if not arrivals.fits("", rows.keys, rows.bodies):
            return None
        columns = zip(rows.parts, numbers, rows.keys, rows.bodies, strict=True)
        return [arrivals.written(EventRow(part, id_, key, topic.level, body)) for part, id_, key, body in columns]

    def _count(self) -> None:
        for name, rows in self._rows.items():
            metrics.sent(name, [len(body) for body in rows.bodies])
        if self._jobs:
            metrics.sent(WORKER_JOB.name, [len(body) for _, body in self._jobs])

    def _job_columns(self) -> dict[str, Any]:
        owners, seqs = [], []
        for out, _ in self._jobs:
            job = out.job
            owner, seq = (job.execution_id, job.seq) if isinstance(job, TaskJob) else (job.trigger_uid, 0)
            owners.append(owner)
            seqs.append(seq)
        return {
            "lanes": texts([out.lane for out, _ in self._jobs]),
            "ranks": int4s([out.rank for out, _ in self._jobs]),
            "owners": texts(owners),
            "seqs": int8s(seqs),
            "levels": int2s([WORKER_JOB.level] * len(self._jobs)),
            "bodies": byteas([body for _, body in self._jobs]),
        }

    def touched(self) -> dict[str, set[int] | None]:
        """Return which topics get something, and in which partitions."""
        found: dict[str, set[int] | None] = {
            name: set(rows.parts) if rows.topic.route is Route.KEYED else None for name, rows in self._rows.items()
        }
        if self._jobs:
            found[WORKER_JOB.name] = None
        return found
