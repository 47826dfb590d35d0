"""What only a database can get wrong: plans, late commits, lost servers, forms of statements."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from importlib import resources

import psycopg
import pytest

from tests.contract.backends import PostgresContract
from tests.contract.samples import SERVICE, changes, event, head, job, killed, leases_of, run
from tests.contract.steps import ALL, submit
from tests.patience import PATIENCE_S, until
from tiercel.errors import InvalidSettings, OperatorError
from tiercel.messages.broadcast import KillRun
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT, TOPICS
from tiercel.queue.postgres.janitor import PostgresJanitor
from tiercel.queue.postgres.node import Durability, PostgresNode
from tiercel.queue.postgres.sending import Sending
from tiercel.runtime.postgres.batch import Statement
from tiercel.runtime.postgres.migration import CORE_PACKAGES, migrate

BACKLOG = 50_000
"""Rows that make a plan without an index visible."""
TABLES = ("tq.worker_job", "tq.execution_event", "ts.execution", "ts.task_run")
READ_FACTOR_MAX = 3
"""So many rows may be looked at for one that is asked for: dead ones are seen again until they are cleaned up."""


def sql_statements() -> Iterator[tuple[str, str]]:
    """Yield the statements of queue, state and definitions by name, without comments."""
    for package in CORE_PACKAGES:
        for file in resources.files(package).iterdir():
            if file.name.endswith(".sql"):
                for statement in file.read_text().split("-- name: ")[1:]:
                    name, _, text = statement.partition("\n")
                    yield name, re.sub(r"--.*", "", text)


def test_no_batch_is_picked_by_a_join() -> None:
    """DELETE … USING turns quadratic when statistics say "empty", IN (subquery) can delete more than its limit."""
    deletions = {name: text[text.index("DELETE FROM") :] for name, text in sql_statements() if "DELETE FROM" in text}

    assert len(deletions) > 10
    for name, text in deletions.items():
        assert not re.search(r"\bUSING\b|\bIN\s*\(\s*SELECT\b", text), name


def test_only_what_is_made_for_it_tells_within_a_transaction() -> None:
    """NOTIFY in every transaction costs five sixths of the commits; other signals follow their transaction."""
    telling = {name for name, text in sql_statements() if "notify" in text.lower()}

    assert {"send_carried", "send_told", "send_jobs_carried", "finish_arrived"} == telling


@pytest.mark.parametrize("durability", list(Durability))
async def test_only_transactions_that_do_not_wait_tell_by_themselves(
    postgres: PostgresContract, durability: Durability
) -> None:
    """One that waits for the disk would hold a lock of the whole server meanwhile."""
    sending = Sending(postgres.node.partitions)
    sending.add([event("a")])
    statements: list[bytes] = []

    def noted() -> Iterator[Statement]:
        for statement in sending.statements():
            statements.append(statement[0])
            yield statement

    await postgres.node.commit(noted(), sending.touched(), durability, sending)

    assert (durability is not Durability.FIRST) == any(b"notify" in statement for statement in statements)
    assert ["a"] == [each.key for each in await postgres.queue.read(EXECUTION_EVENT, ALL, count=10)]


async def test_no_statistics_are_gathered_of_state(postgres: PostgresContract) -> None:
    """Its plans look at none, and gathering them again and again makes a wide loop dearer with each value."""
    rows = await postgres.admin.fetch(
        b"SELECT relname::text, coalesce(array_to_string(reloptions, ' '), '') FROM pg_class"
        b" WHERE relnamespace = 'ts'::regnamespace AND relkind = 'r'"
    )
    options = dict(rows)

    assert "task_run" in options
    assert [] == [table for table, given in options.items() if "autovacuum_analyze_threshold=2000000000" not in given]


async def test_every_topic_has_its_table(postgres: PostgresContract) -> None:
    """The table of topics is the authority."""
    rows = await postgres.admin.fetch(b"SELECT tablename::text FROM pg_tables WHERE schemaname = 'tq'")

    assert {topic.name for topic in TOPICS} <= {name for (name,) in rows}


@pytest.fixture
async def poisoned(postgres: PostgresContract) -> PostgresContract:
    """A backlog whose statistics were taken while the tables were empty, and plans that were cached then."""
    leases = await leases_of(postgres.leases)
    for _ in range(8):  # plans become generic while there is nothing
        await postgres.queue.claim("w", ["default"], 200)
        await postgres.queue.claim("w", ["default", "gpu"], 200)
        await postgres.queue.read(EXECUTION_EVENT, ALL, count=64)
        await postgres.queue.emit(event("a"))
        read = await postgres.queue.read(EXECUTION_EVENT, ALL, count=64)
        await postgres.queue.acknowledge(EXECUTION_EVENT, read, leases)
        async with postgres.state.transaction(leases) as unit:
            unit.save(changes("warm", None, new_runs=[run(0)], revoked=[]))
        async with postgres.state.transaction(leases) as unit:
            unit.save(changes("warm", 1, changed_runs=[run(0)], revoked=[1]))
        async with postgres.state.transaction(leases) as unit:
            unit.save(changes("warm", 2, deleted=True))
        for table in TABLES:
            await postgres.sql(f"VACUUM (ANALYZE, TRUNCATE FALSE) {table}")
    for table in TABLES:
        await postgres.sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await postgres.sql(
        "INSERT INTO tq.worker_job (lane, owner, seq, level, body) "
        f"SELECT 'default', 'e' || n, 0, 1, '\\x00' FROM generate_series(1, {BACKLOG}) n"
    )
    await postgres.sql(
        "INSERT INTO tq.execution_event (part, key, level, body) "
        f"SELECT n % 16, 'e' || n, 1, '\\x00' FROM generate_series(1, {BACKLOG}) n"
    )
    await postgres.sql(
        "INSERT INTO ts.execution (id, part, version, state, head) "
        f"SELECT 'e' || n, 0, 1, 'RUNNING', '\\x00' FROM generate_series(1, {BACKLOG}) n"
    )
    await postgres.sql(
        "INSERT INTO ts.task_run (execution_id, seq, folded, body) "
        f"SELECT 'e' || n, 0, false, '\\x00' FROM generate_series(1, {BACKLOG}) n"
    )
    return postgres


async def rows_read(postgres: PostgresContract) -> int:
    """Return how many rows were read so far, in whatever way, as far as sessions have told it."""
    names = ", ".join(f"'{table}'" for table in TABLES)
    ((count,),) = await postgres.admin.fetch(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables "
        f"WHERE schemaname || '.' || relname IN ({names})".encode()
    )
    return int(count)


async def rows_read_in_all(postgres: PostgresContract) -> int:
    """End the sessions of the adapters, which then have told everything, and return the count."""
    await postgres.queue.close()
    left = b"SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tiercel queue'"

    async def look() -> bool:
        return not await postgres.admin.fetch(left)

    await until(look, "the server's processes of these sessions to end")
    return await rows_read(postgres)


async def test_queue_statements_go_by_index_behind_poisoned_statistics(poisoned: PostgresContract) -> None:
    """Read, acknowledgement and claims of 200 from 50,000 look at what they take, whatever the planner believes."""
    before = await rows_read(poisoned)
    leases = await leases_of(poisoned.leases)
    queue = poisoned.queue
    asked = 0

    for _ in range(3):
        read = await queue.read(EXECUTION_EVENT, ALL, count=12)
        assert 192 == len(read)
        assert await queue.acknowledge(EXECUTION_EVENT, read, leases)
        await queue.claim("w", ["default"], 200)  # the bodies are no jobs: all of them become dead letters
        await queue.claim("w", ["default", "gpu"], 200)
        asked += 2 * 192 + 2 * 200

    assert asked * READ_FACTOR_MAX > await rows_read_in_all(poisoned) - before


async def test_a_unit_goes_by_index_behind_poisoned_statistics(poisoned: PostgresContract) -> None:
    """Guarded updates, acknowledgements and revocations of 200 executions look up each row."""
    before = await rows_read(poisoned)
    leases = await leases_of(poisoned.leases)
    asked = 0

    for version in range(1, 4):
        read = await poisoned.queue.read(EXECUTION_EVENT, ALL, count=12)
        async with poisoned.state.transaction(leases) as unit:
            unit.acknowledge(EXECUTION_EVENT, read)
            for number in range(1, 201):
                name = f"e{number}"
                unit.save(changes(name, version, head(name, version + 1), changed_runs=[run(0)], revoked=[5]))
        asked += 2 * 192 + 3 * 200

    assert asked * READ_FACTOR_MAX > await rows_read_in_all(poisoned) - before


async def test_a_claim_leaves_rows_that_are_being_claimed(postgres: PostgresContract) -> None:
    """A revocation beside an open claim takes only what nobody is claiming, and waits for nobody."""
    await submit(postgres, job("a", 1), job("a", 2))
    leases = await leases_of(postgres.leases)
    async with postgres.state.transaction(leases) as unit:
        unit.save(changes("a", None))
    async with await psycopg.AsyncConnection.connect(postgres.uri) as claiming:
        await claiming.execute("DELETE FROM tq.worker_job WHERE seq = 1")

        async with asyncio.timeout(PATIENCE_S):
            async with postgres.state.transaction(leases) as unit:
                unit.save(changes("a", 1, revoked=[]))
        await claiming.rollback()

    assert [1] == [task.seq for task in await postgres.queue.claim("w", ["default"], 5)]


async def test_a_broadcast_that_commits_late_is_heard(postgres: PostgresContract) -> None:
    """Its number is lower than those that were read before it could be seen."""
    line = postgres.queue.subscribe(BROADCAST)
    await postgres.queue.emit(killed("first"))
    assert KillRun(execution_id="first") == await anext(line)
    async with await psycopg.AsyncConnection.connect(postgres.uri) as late:
        body = b"\x82\xa4type\xa7KillRun\xacexecution_id\xa4late"
        await late.execute("INSERT INTO tq.broadcast (level, body) VALUES (1, %b)", (body,))
        await postgres.queue.emit(killed("early"))
        assert KillRun(execution_id="early") == await anext(line)

        await late.commit()
        postgres.queue.wake(BROADCAST)

        async with asyncio.timeout(PATIENCE_S):
            assert KillRun(execution_id="late") == await anext(line)


async def test_what_was_emitted_is_on_disk(postgres: PostgresContract) -> None:
    """Others go on with it before, but whoever emits is promised it only then."""
    async with await psycopg.AsyncConnection.connect(postgres.uri, autocommit=True) as connection:
        for number in range(20):
            written = await (await connection.execute("SELECT pg_current_wal_insert_lsn()")).fetchone()
            assert written is not None
            await postgres.queue.emit(killed(f"execution-{number}"))
            flushed = await connection.execute("SELECT pg_current_wal_flush_lsn() > %s::pg_lsn", written)
            assert (True,) == await flushed.fetchone()


async def test_the_fence_holds_off_a_thief_until_the_batch_has_committed(postgres: PostgresContract) -> None:
    """A lease row that a batch has read cannot change its owner before the batch ends."""
    await leases_of(postgres.leases)
    await postgres.pass_time(60)
    thief = await postgres.another()
    await thief.leases.announce(SERVICE, "thief", level=1)
    async with await psycopg.AsyncConnection.connect(postgres.uri) as batch:
        await batch.execute("SELECT FROM tq.lease WHERE part < 8 FOR SHARE")

        stolen = await thief.leases.take(SERVICE, "thief", level=1, ttl_s=10)

    assert list(range(8, 16)) == [lease.partition for lease in stolen]


async def test_another_number_of_partitions_is_refused(postgres: PostgresContract) -> None:
    """It is fixed when the installation is made."""
    with pytest.raises(InvalidSettings, match="made with 16 partitions"):
        await PostgresNode.open(postgres.uri, partitions=8)


async def test_migrations_run_once_whoever_starts(postgres: PostgresContract) -> None:
    """Any number of processes may migrate at the same time."""
    done = await asyncio.gather(*(migrate(postgres.uri) for _ in range(4)))

    assert [[]] * 4 == done


async def test_a_database_without_tables_says_what_to_do(postgres_uri: object) -> None:
    """The operator must migrate."""
    with pytest.raises(OperatorError, match="tiercel migrate"):
        await PostgresNode.open(postgres_uri("postgres"))


async def test_the_janitor_deletes_old_broadcasts(postgres: PostgresContract) -> None:
    """What is older than ten minutes goes, younger ones stay."""
    await postgres.queue.emit(killed("old"))
    await postgres.pass_time(700)
    await postgres.queue.emit(killed("young"))
    janitor = PostgresJanitor(postgres.node, postgres.leases, "me")

    assert await janitor.sweep()

    rows = await postgres.admin.fetch(b"SELECT count(*) FROM tq.broadcast")
    assert [(1,)] == rows
    other = PostgresJanitor(postgres.node, postgres.leases, "other")
    assert not await other.sweep()
