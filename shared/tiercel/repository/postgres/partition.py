"""
Partitions of history by weeks, made before the first row of a week is written and dropped when they are old.

A week that is far away (a clock that is wrong, an id that only looks like one of ours) gets no partition: its rows
go to the default one. A partition takes over what lies in the default one of its week.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection, sql

from tiercel.model import ids
from tiercel.repository.postgres import statement

WEEK: Final = timedelta(days=7)
"""What one partition holds."""
EPOCH: Final = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday: weeks are counted from here."""
PAST_MAX: Final = timedelta(days=366)
FUTURE_MAX: Final = timedelta(days=15)
"""Rows from further away go to the default partition: a wrong clock must not make thousands."""
BY_ID: Final = (("execution", "id"), ("task_run", "execution_id"))
BY_TIME: Final = ("log", "metric", "audit")
TABLES: Final = (*(table for table, _ in BY_ID), *BY_TIME)
_LOCK: Final = 0x7469657263_03
"""The advisory lock of who makes partitions: `tierc` in hexadecimal, and a number of ours."""
_STATISTICS: Final = " WITH (autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 1)"
"""Statistics are gathered when a partition has doubled, which costs as much as once in all; not for each tenth."""
_SQL: Final = statement.load("reading.sql")


def week_of(at: datetime) -> datetime:
    """Return the first instant of the week of `at`."""
    return EPOCH + (at - EPOCH) // WEEK * WEEK


class Partitions:
    """Knows which weeks have their partitions, and makes them."""

    def __init__(self) -> None:
        self._made: set[datetime] = set()

    def missing(self, instants: Iterable[datetime | None], now: datetime) -> list[datetime]:
        """Return the weeks of these instants that are near and have no partitions yet."""
        near = {week_of(at) for at in instants if at is not None and now - PAST_MAX < at < now + FUTURE_MAX}
        return sorted(near - self._made)

    async def make(self, connection: AsyncConnection[Any], weeks: Iterable[datetime]) -> None:
        """Make the partitions of these weeks, each in a transaction of its own."""
        for week in weeks:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                for table, column in BY_ID:
                    await _make(connection, table, column, week, *map(_first_id, (week, week + WEEK)))
                for table in BY_TIME:
                    await _make(connection, table, "at", week, week.isoformat(), (week + WEEK).isoformat())
            self._made.add(week)

    async def drop(self, connection: AsyncConnection[Any], before: datetime) -> int:
        """Drop the weeks that end before the instant; return how many partitions."""
        dropped = 0
        for table in TABLES:
            rows = await (await connection.execute(_SQL["partitions"], (table,))).fetchall()
            for (name,) in rows:
                week = _week_named(name)
                if week is not None and week + WEEK <= before:
                    await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("tr", name)))
                    self._made.discard(week)
                    dropped += 1
        return dropped


async def _make(
    connection: AsyncConnection[Any], table: str, column: str, week: datetime, first: str, end: str
) -> None:
    name = f"{table}_p{week:%Y%m%d}"
    row = await (await connection.execute("SELECT to_regclass(%s)", (f"tr.{name}",))).fetchone()
    if row is not None and row[0] is not None:
        return
    names = {
        "new": sql.Identifier("tr", name),
        "parent": sql.Identifier("tr", table),
        "rest": sql.Identifier("tr", f"{table}_default"),
        "column": sql.Identifier(column),
        "first": sql.Literal(first),
        "end": sql.Literal(end),
    }
    for text in (
        "CREATE TABLE {new} (LIKE {parent} INCLUDING DEFAULTS INCLUDING STORAGE)" + _STATISTICS,
        "WITH moved AS (DELETE FROM {rest} WHERE {column} >= {first} AND {column} < {end} RETURNING *)"
        " INSERT INTO {new} SELECT * FROM moved",
        "ALTER TABLE {parent} ATTACH PARTITION {new} FOR VALUES FROM ({first}) TO ({end})",
    ):
        await connection.execute(sql.SQL(text).format(**names))


def _first_id(at: datetime) -> str:
    return ids.to_text(UUID(int=int(at.timestamp() * 1000) << 80))


def _week_named(name: str) -> datetime | None:
    _, mark, date = name.rpartition("_p")
    return datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC) if mark and date.isdigit() else None
