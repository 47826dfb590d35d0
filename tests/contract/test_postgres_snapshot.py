"""The oldest snapshot in the queue's database is found, named and measured."""

from __future__ import annotations

import psycopg

from tests.contract.backends import PostgresContract
from tiercel.runtime.postgres import metrics
from tiercel.runtime.postgres.snapshot import OldestSnapshot


async def test_a_transaction_that_holds_a_snapshot_is_a_concern(postgres: PostgresContract) -> None:
    """`/health` names who holds rows back; when the transaction is over nothing is said."""
    check = OldestSnapshot(postgres.admin, warn_s=0.0)
    reader = await psycopg.AsyncConnection.connect(postgres.admin.uri, application_name="nightly report")
    await reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    await reader.execute(b"SELECT 1")

    held = await check()
    measured_s = metrics.OLDEST_SNAPSHOT_SECONDS._value.get()
    await reader.close()

    assert "nightly report" in (held or "")
    assert measured_s > 0
    assert await OldestSnapshot(postgres.admin)() is None


async def test_a_young_snapshot_is_no_concern(postgres: PostgresContract) -> None:
    """Every query has one for a moment."""
    async with postgres.admin.connection() as reader, reader.transaction():
        await reader.execute(b"SELECT 1")

        assert await OldestSnapshot(postgres.admin)() is None
