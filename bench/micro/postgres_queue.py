"""
What single calls of the PostgreSQL adapters cost: `python -m bench.micro.postgres_queue [URI]`.

Without an address it starts a server of its own. Prints the median and the 99th percentile in milliseconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import uvloop

from tiercel.messages.execution_event import TaskFinished, TaskStarted
from tiercel.messages.history import ExecutionChanged
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY, TRIGGER_EVENT, partition_of
from tiercel.messages.trigger_event import TriggerCommand
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import Attempt, Execution, OutputRef, TaskRun
from tiercel.model.live import HeadRecord, OutputRecord, RunRecord
from tiercel.model.state import State, StateChange
from tiercel.queue.base import Outgoing, OutgoingJob
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import PostgresQueue
from tiercel.runtime.embedded import EmbeddedPostgres
from tiercel.runtime.postgres.migration import migrate
from tiercel.runtime.scratch import Scratch
from tiercel.statestore.base import Changes, Held
from tiercel.statestore.postgres.leases import PostgresLeases
from tiercel.statestore.postgres.statestore import PostgresStateStore

ROUNDS = 60
BATCH = 200
WAIT_S = 5.0
"""How long a message is waited for before the queue is asked again."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HISTORY_OF_STATES = tuple(StateChange(state, NOW) for state in (State.CREATED, State.RUNNING))


def report(name: str, seconds: list[float]) -> None:
    """Print one line."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name:46} p50 {statistics.median(ordered) * 1000:7.2f} ms   p99 {late * 1000:7.2f} ms", flush=True)


async def measured(name: str, step: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> None:
    """Time a call many times."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await step()
        times.append(time.perf_counter() - begun)
    report(name, times[rounds // 10 :])


def task_job(execution_id: str) -> OutgoingJob:
    """Make a job of usual size."""
    return OutgoingJob(
        job=TaskJob(
            tenant_id="main",
            namespace="company.team",
            flow_id="hello",
            flow_revision=1,
            execution_id=execution_id,
            seq=0,
            attempt=1,
            task_id="say",
            task_run_id=execution_id,
            definition=msgspec.Raw(msgspec.msgpack.encode({"id": "say", "type": "log", "message": "hello " * 20})),
            context={"inputs": {"a": 1}, "execution": {"id": execution_id}},
        )
    )


def finished(execution_id: str) -> Outgoing:
    """Make the result of a task."""
    message = TaskFinished(
        execution_id=execution_id,
        at=NOW,
        seq=0,
        attempt=1,
        worker="w",
        state=State.SUCCESS,
        outputs=OutputRef(size=10, value={"v": 1}),
    )
    return Outgoing(topic=EXECUTION_EVENT, key=execution_id, message=message)


def started(job: TaskJob) -> TaskStarted:
    """Tell that a job is started."""
    return TaskStarted(execution_id=job.execution_id, at=NOW, seq=job.seq, attempt=job.attempt, worker="w")


def change(name: str, was: int | None) -> tuple[Changes, Outgoing]:
    """Make what a usual event changes: head, one task run, its outputs, a job, history."""
    execution = Execution(
        id=name,
        namespace="company.team",
        flow_id="hello",
        flow_revision=1,
        state=State.RUNNING,
        history=HISTORY_OF_STATES,
        version=(was or 0) + 1,
        inputs={"a": 1},
    )
    attempt = Attempt(state=State.RUNNING, history=HISTORY_OF_STATES)
    task = TaskRun(id=name, seq=0, task_id="say", state=State.RUNNING, history=HISTORY_OF_STATES, attempts=(attempt,))
    record = RunRecord(run=task)
    changes = Changes(
        partition=partition_of(name),
        head=HeadRecord(execution=execution),
        was_version=was,
        new_runs=[record] if was is None else [],
        changed_runs=[record] if was is not None else [],
        outputs=[OutputRecord(seq=0, task_id="say", ref=OutputRef(size=10, value={"v": 1}))] if was is not None else [],
        held=[Held(execution_id=name, seq=0, attempt=1, worker="w")] if was is None else [],
        unheld=[0] if was is not None else [],
        jobs=[task_job(name)],
    )
    return changes, Outgoing(topic=HISTORY, key=name, message=ExecutionChanged(execution=execution, runs=(task,)))


async def units(queue: PostgresQueue, store: PostgresStateStore, leases: PostgresLeases, size: int) -> None:
    """Measure reading and committing batches of one event per execution."""
    await leases.announce("executor", "bench", level=1)
    held = await leases.take("executor", "bench", level=1, ttl_s=60)
    names = [f"b{size}-{number}" for number in range(size)]
    reads, commits, claims = [], [], []
    for round_ in range(ROUNDS):
        await queue.emit(*(finished(name) for name in names))
        begun = time.perf_counter()
        batch = await queue.read(EXECUTION_EVENT, range(16), count=64)
        reads.append(time.perf_counter() - begun)
        prepared = [change(name, round_ or None) for name in names]
        begun = time.perf_counter()
        async with store.transaction(held) as unit:
            unit.acknowledge(EXECUTION_EVENT, batch)
            for changes, history in prepared:
                unit.save(changes)
                unit.emit(history)
        commits.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        await queue.claim("w", ["default"], size)
        claims.append(time.perf_counter() - begun)
        left = await queue.read(EXECUTION_EVENT, range(16), count=1000)
        await queue.acknowledge(EXECUTION_EVENT, left, held)
        left_history = await queue.read(HISTORY, range(16), count=1000)
        await queue.acknowledge(HISTORY, left_history, [])
    report(f"read of {size}, decoded", reads[ROUNDS // 5 :])
    report(f"unit of {size}: ack, update, run, output, job, history", commits[ROUNDS // 5 :])
    report(f"claim of {size} with its started events", claims[ROUNDS // 5 :])


def echo(uri: str) -> None:
    """Answer every message to `ping` with one to `pong`, in another process."""

    async def run() -> None:
        queue = PostgresQueue(await PostgresNode.open(uri))
        part = partition_of("ping")
        while True:
            found = await queue.read(TRIGGER_EVENT, [part], count=10)
            if not found:
                await queue.wait(TRIGGER_EVENT, WAIT_S, partitions=[part])  # a message wakes it
                continue
            await queue.acknowledge(TRIGGER_EVENT, found, [])
            await queue.emit(command("pong"))

    uvloop.run(run())


def command(key: str) -> Outgoing:
    """Make a small message."""
    return Outgoing(topic=TRIGGER_EVENT, key=key, message=TriggerCommand(trigger_uid=key, at=NOW, command="unlock"))


async def hops(queue: PostgresQueue, uri: str) -> None:
    """Measure a message to another process and back: two hops."""
    process = multiprocessing.get_context("spawn").Process(target=echo, args=(uri,), daemon=True)
    process.start()
    part = partition_of("pong")

    async def there_and_back() -> None:
        await queue.emit(command("ping"))
        while not (found := await queue.read(TRIGGER_EVENT, [part], count=10)):
            await queue.wait(TRIGGER_EVENT, WAIT_S, partitions=[part])  # a message wakes it
        await queue.acknowledge(TRIGGER_EVENT, found, [])

    await there_and_back()
    await measured("there and back (two hops and two acks)", there_and_back, 200)
    process.kill()
    process.join()


async def run(uri: str) -> None:
    """Measure everything."""
    await migrate(uri)
    node = await PostgresNode.open(uri)
    queue, store, leases = PostgresQueue(node), PostgresStateStore(node), PostgresLeases(node)
    for size in (1, 6, 48, BATCH, 512):
        await units(queue, store, leases, size)
    names = [f"b{BATCH}-{number}" for number in range(BATCH)]
    await measured(f"load of {BATCH} executions", lambda: store.load(names))
    await measured("emit of one message", lambda: queue.emit(command("x")))
    await measured("emit by 200 coroutines at once", lambda: asyncio.gather(*(queue.emit(command("x")) for _ in names)))
    await measured("renewal of 16 leases", lambda: leases.take("executor", "bench", level=1, ttl_s=60))
    await hops(queue, uri)
    await leases.leave("executor", "bench")
    await queue.close()
    await leases.close()


def main() -> None:
    """Run against the address that is given, or a server of our own."""
    if len(sys.argv) > 1:
        uvloop.run(run(sys.argv[1]))
        return
    with Scratch("bench") as folder, EmbeddedPostgres(folder) as server:
        uvloop.run(run(server.uri()))


if __name__ == "__main__":
    main()
