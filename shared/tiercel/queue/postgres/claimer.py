"""
Takes jobs for a worker: those that came with the signals that told of them, or those that wait in the table.

Both are one commit with the `started` events. Of a job that has come it is known what will be said: one statement does
all. What waits in the table is known after it was taken: two statements, in a transaction of which the server can
be asked what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from tiercel.errors import Unavailable
from tiercel.messages import codec
from tiercel.messages.topics import EXECUTION_EVENT, WORKER_JOB
from tiercel.messages.worker_job import TaskJob, WorkerJob
from tiercel.queue import metrics
from tiercel.queue.base import Ahead, returned_event, started_events
from tiercel.queue.postgres import claim as claims
from tiercel.queue.postgres.arrivals import JobRow
from tiercel.queue.postgres.claim import letters
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.sending import SQL, Sending
from tiercel.runtime.clock import Clock
from tiercel.runtime.postgres.batch import Batch, Parameters
from tiercel.runtime.postgres.pool import Connection


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What one claim took from the table, and what is sent because of it."""

    transaction: str
    jobs: list[WorkerJob]
    sending: Sending
    undecodable: list[claims.Letter]


class _Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A claim of a job that had come, whose answer was lost with its connection."""

    worker: str
    row: JobRow
    job: TaskJob
    backend: int
    """The server's process that worked on it."""
    at: datetime
    """When it came to be: a return that has to be told again is known by it."""
    since: float


class Claimer:
    """Claims for the worker of this process."""

    def __init__(self, node: PostgresNode, clock: Clock, emit: Callable[..., Awaitable[None]]) -> None:
        self._node = node
        self._clock = clock
        self._emit = emit
        self._doubtful: list[_Claim | _Doubt] = []

    async def claim(self, worker: str, lanes: Sequence[str], count: int, ahead: Ahead | None) -> list[WorkerJob]:
        """
        Take jobs and tell that they are started, in one commit; a job that has come is first tried to be run `ahead`.

        When the connection is lost during the commit nobody knows yet whose the jobs are. The next call finds out;
        those that are ours are returned, or handed back.
        """
        if self._doubtful:
            return await self._settled(self._doubtful.pop())
        if count <= 0 or not lanes:
            return []
        began = time.perf_counter()
        arrived = self._arrived(lanes, count)
        if arrived is None:
            jobs = await self._take_waiting(worker, lanes, count)
        elif ahead is not None and (sending := self._run(worker, arrived[1], ahead)) is not None:
            await self._finish(*arrived, sending, ahead)
            return []
        else:
            jobs = await self._take(worker, *arrived)
        if jobs:
            metrics.received(WORKER_JOB.name, len(jobs), time.perf_counter() - began)
        return jobs

    def _run(self, worker: str, job: TaskJob, ahead: Ahead) -> Sending | None:
        """Return what is to be sent of a job that can be run ahead."""
        started = started_events(worker, [job], self._clock.now())
        told = ahead.told(job) if self._node.can_tell_now else None
        if told is None:
            return None
        sending = Sending(self._node.partitions)
        sending.add([*started, *told])
        return sending

    async def _finish(self, row: JobRow, job: TaskJob, sending: Sending, ahead: Ahead) -> None:
        """Take a job that was run, and tell of it, unless somebody else has taken it."""
        began = time.perf_counter()
        # When the answer is lost, either the job is there and is run again, or all is told.
        if await self._node.take(_place(row), sending):
            metrics.received(WORKER_JOB.name, 1, time.perf_counter() - began)
            ahead.taken(job)

    async def withdraw(self, worker: str) -> list[WorkerJob]:
        """Return jobs of claims that were in doubt, and are ours."""
        found: list[WorkerJob] = []
        while self._doubtful:
            found += await self._settled(self._doubtful.pop())
        return found

    def _arrived(self, lanes: Sequence[str], count: int) -> tuple[JobRow, TaskJob] | None:
        """Return a job that has come by itself; None when the table must be asked, which is quicker for several."""
        rows = self._node.arrivals.jobs(lanes, count, WORKER_JOB.level)
        if rows is None or len(rows) > 1:
            return None
        (row,) = rows
        try:
            job = codec.decode(WORKER_JOB, row.body, row.level)
        except codec.Undecodable:  # what becomes of it is decided with its row
            return None
        return (row, job) if isinstance(job, TaskJob) else None

    async def _take(self, worker: str, row: JobRow, job: TaskJob) -> list[WorkerJob]:
        """Take a job that has come, unless somebody else has."""
        sending = Sending(self._node.partitions)
        sending.add(started_events(worker, [job], self._clock.now()))
        about = {**_place(row), **sending.columns(EXECUTION_EVENT)}
        async with self._node.pool.connection() as connection:
            backend = connection.info.backend_pid
            try:
                (numbers,) = await Batch([(SQL["claim_arrived"], about)]).rows(connection)
            except BaseException:  # cancelled too: its outcome is not known then
                at, since = self._clock.now(), time.monotonic()
                self._doubtful.append(_Doubt(worker=worker, row=row, job=job, backend=backend, at=at, since=since))
                raise
        if not numbers:
            return []
        self._tell(sending, [number for (number,) in numbers])
        return [job]

    async def _take_waiting(self, worker: str, lanes: Sequence[str], count: int) -> list[WorkerJob]:
        """Take what waits in the table."""
        arrivals = self._node.arrivals
        arrivals.reading(WORKER_JOB.name)
        async with self._node.pool.connection() as connection:
            batch = Batch([(b"BEGIN", {}), claims.statement(lanes, WORKER_JOB.level, count)])
            _, rows = await batch.rows(connection)
            arrivals.have_claimed([row[1] for row in rows], lanes if len(rows) < count else ())
            if not rows:
                await connection.execute(b"ROLLBACK")
                return []
            claim = self._claimed(worker, rows)
            await self._complete(connection, claim)
        if len(lanes) > 1 and len(rows) == count:
            # Others may have passed over rows that were locked and not taken.
            self._node.announce({WORKER_JOB.name: None})
        return claim.jobs

    def _claimed(self, worker: str, rows: Sequence[claims.Row]) -> _Claim:
        taken = claims.taken(rows)
        jobs = [job for job, _ in taken.jobs]
        sending = Sending(self._node.partitions)
        sending.add([*started_events(worker, jobs, self._clock.now()), *taken.refusals])
        return _Claim(transaction=taken.transaction, jobs=jobs, sending=sending, undecodable=taken.undecodable)

    async def _complete(self, connection: Connection, claim: _Claim) -> None:
        touched = claim.sending.touched()
        try:
            batch = Batch(claim.sending.statements(is_numbered=True))
            if claim.undecodable:
                batch.add(SQL["bury"], letters(WORKER_JOB, claim.undecodable))
            batch.add(b"COMMIT")
            answers = await batch.rows(connection)
        except BaseException:  # cancelled too: its outcome is not known then
            self._doubtful.append(claim)
            raise
        if touched:
            self._tell(claim.sending, [number for (number,) in answers[0]])

    def _tell(self, sending: Sending, numbers: Sequence[int]) -> None:
        """Tell what a claim has sent, which is of one topic."""
        # That a job is started is no hurry: most often its end follows at once, and both are decided together.
        self._node.announce_soon(sending.touched(), {EXECUTION_EVENT.name: sending.carried(EXECUTION_EVENT, numbers)})

    async def _settled(self, claim: _Claim | _Doubt) -> list[WorkerJob]:
        """Find out what became of a claim; return what is ours."""
        try:
            if isinstance(claim, _Doubt):
                await self._hand_back(claim)
                return []
            ((status,),) = await self._node.pool.fetch(SQL["outcome"], {"transaction": claim.transaction})
            if status == "in progress":
                raise _undecided()
        except BaseException:  # cancelled too: it is asked again
            self._doubtful.append(claim)
            raise
        if status != "committed":
            return []
        self._node.announce(claim.sending.touched())
        return claim.jobs

    async def _hand_back(self, doubt: _Doubt) -> None:
        """
        Give a job back that may have become ours: the executor knows by the `started` event whether it has.

        What is in the table has not. It is looked at when the server works no longer on the claim.
        """
        seconds = int(time.monotonic() - doubt.since)
        about = {"backend": doubt.backend, "seconds": seconds, **_place(doubt.row)}
        ((is_working, is_there),) = await self._node.pool.fetch(SQL["doubt"], about)
        if is_working:
            raise _undecided()
        if not is_there:
            await self._emit(returned_event(doubt.worker, doubt.job, doubt.at))


def _place(row: JobRow) -> Parameters:
    """Return what finds a job in its table."""
    return {"lane": row.place, "rank": row.rank, "id": row.id}


def _undecided() -> Unavailable:
    return Unavailable("PostgreSQL has not decided yet what became of a claim; it is asked again.")
