"""Batches of statements against a real server."""

from __future__ import annotations

import pytest
from psycopg import errors

from tests.contract.backends import PostgresContract
from tiercel.runtime.postgres.batch import Batch

INSERT = b"INSERT INTO tq.dead_letter (topic, key, reason, body) VALUES (%(topic)s, 'k', 'r', 'b')"
TOPICS = b"SELECT topic FROM tq.dead_letter ORDER BY id"


async def test_a_failure_undoes_its_transaction_and_not_the_next(postgres: PostgresContract) -> None:
    """What stands behind an `end` is run all the same."""
    batch = Batch([(INSERT, {"topic": "undone"}), (b"SELECT 1 / 0", {})])
    batch.end()
    batch.add(INSERT, {"topic": "kept"})

    async with postgres.admin.connection() as connection:
        with pytest.raises(errors.DivisionByZero):
            await batch.run(connection)

        assert [[("kept",)]] == await Batch([(TOPICS, {})]).rows(connection)


async def test_statements_are_known_after_a_failure(postgres: PostgresContract) -> None:
    """One that was prepared in a transaction that failed is prepared again."""
    async with postgres.admin.connection() as connection:
        for topic in ("first", "second"):
            with pytest.raises(errors.DivisionByZero):
                await Batch([(INSERT, {"topic": topic}), (b"SELECT 1 / 0", {})]).run(connection)
        await Batch([(INSERT, {"topic": "third"})]).run(connection)

        assert [[("third",)]] == await Batch([(TOPICS, {})]).rows(connection)


async def test_numbers_of_any_size_are_compared(postgres: PostgresContract) -> None:
    """One that no column can hold is not found, and is no error."""
    rows = await postgres.admin.fetch(b"SELECT 1::bigint = %(number)s", {"number": 99999999999999999999})

    assert [(False,)] == rows
