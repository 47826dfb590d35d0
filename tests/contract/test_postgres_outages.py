"""PostgreSQL away, restarted, crashed, or cut off in the middle of a commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.backends import PostgresContract
from tests.contract.cut import Cut
from tests.contract.samples import SERVICE, changes, event, job, killed, leases_of
from tests.contract.steps import ALL, submit
from tests.patience import FOR_EVER_S, PATIENCE_S
from tiercel.errors import Unavailable
from tiercel.messages.broadcast import KillRun
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT
from tiercel.messages.worker_job import TaskJob, WorkerJob
from tiercel.model.state import State
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.postgres.queue import PostgresQueue
from tiercel.runtime.embedded import EmbeddedPostgres
from tiercel.runtime.postgres.migration import migrate
from tiercel.statestore.base import StaleState


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path) as server:
        yield server


async def test_after_a_restart_of_the_server_everything_works_again(own_server: EmbeddedPostgres) -> None:
    """Calls fail with Unavailable while it is away; waits, subscriptions and leases go on without a restart of ours."""
    uri = own_server.uri()
    await migrate(uri)
    backend = await PostgresContract.open(uri)
    other = await backend.another()
    line = other.queue.subscribe(BROADCAST)
    await backend.queue.emit(killed("one"), event("a"))
    assert KillRun(execution_id="one") == await anext(line)
    leases = await leases_of(backend.leases)
    await other.queue.wait(EXECUTION_EVENT, 0.01)

    await asyncio.to_thread(own_server.restart, immediately=True)
    failures = 0
    async with asyncio.timeout(PATIENCE_S):
        while failures < 50:
            try:
                await backend.queue.emit(killed("two"))
                break
            except Unavailable:
                failures += 1
        heard = await anext(line)
        while True:
            try:
                assert leases == await leases_of(backend.leases)
                async with backend.state.transaction(leases) as unit:
                    unit.save(changes("a", None))
                break
            except (Unavailable, StaleState):
                failures += 1
        waiting = asyncio.create_task(other.queue.wait(EXECUTION_EVENT, FOR_EVER_S))
        await waiting  # the gap wakes everyone once

    assert failures < 10
    assert KillRun(execution_id="two") == heard
    assert {"a": (1, State.RUNNING)} == await other.state.versions(["a"])
    await backend.close()


async def test_what_was_decided_before_a_crash_is_not_saved_after_it(own_server: EmbeddedPostgres) -> None:
    """The server may have taken back what memory knows: a repetition to memory may be news to the tables."""
    await migrate(own_server.uri())
    backend = await PostgresContract.open(own_server.uri())
    leases = await leases_of(backend.leases)
    await backend.queue.emit(event("a"))
    found = await backend.queue.read(EXECUTION_EVENT, ALL, count=10)

    await asyncio.to_thread(own_server.restart, immediately=True)
    with pytest.raises(StaleState, match="read it again"):
        async with backend.state.transaction(leases) as unit:
            unit.acknowledge(EXECUTION_EVENT, found)

    assert ["a"] == [each.key for each in await backend.queue.read(EXECUTION_EVENT, ALL, count=10)]
    await backend.close()


async def test_while_the_server_is_away_every_call_says_so_at_once(own_server: EmbeddedPostgres) -> None:
    """Unavailable, not the library's error."""
    await migrate(own_server.uri())
    backend = await PostgresContract.open(own_server.uri())
    leases = await leases_of(backend.leases)
    await asyncio.to_thread(own_server.stop)

    async with asyncio.timeout(PATIENCE_S):
        for call in (
            lambda: backend.queue.emit(event("a")),
            lambda: backend.queue.read(EXECUTION_EVENT, ALL, count=1),
            lambda: backend.queue.claim("w", ["default"], 1),
            lambda: backend.queue.acknowledge(EXECUTION_EVENT, [], leases),
            backend.queue.depths,
            lambda: backend.state.load(["a"]),
            lambda: backend.leases.take(SERVICE, "i1", level=1, ttl_s=10),
        ):
            with pytest.raises(Unavailable):
                await call()
        with pytest.raises(Unavailable):
            async with backend.state.transaction(leases) as unit:
                unit.save(changes("a", None))
        await backend.queue.wait(EXECUTION_EVENT, 0.05)
    await backend.close()


@pytest.mark.parametrize("heard", [True, False])
async def test_a_claim_whose_commit_was_cut_off_is_settled(
    postgres: PostgresContract, tmp_path: Path, heard: bool
) -> None:
    """The next claim asks the server what became of it, and has the jobs exactly once."""
    cut = Cut(postgres.uri, tmp_path, heard=heard)
    await cut.open()
    queue = PostgresQueue(await PostgresNode.open(cut.uri))
    await submit(postgres, job("a", 1), job("a", 2))
    cut.arm()
    with pytest.raises(Unavailable):
        await queue.claim("w", ["default"], 5)

    claimed: list[WorkerJob] = []
    async with asyncio.timeout(PATIENCE_S):
        while not claimed:
            with contextlib.suppress(Unavailable):
                claimed = await queue.claim("w", ["default"], 5)

    assert [1, 2] == [task.seq for task in claimed if isinstance(task, TaskJob)]
    assert 2 == len(await postgres.queue.read(EXECUTION_EVENT, ALL, count=10))
    assert [] == await queue.claim("w", ["default"], 5)
    await queue.close()
    await cut.close()
