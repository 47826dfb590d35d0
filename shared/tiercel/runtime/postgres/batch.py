"""Statements that go to the server together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiercel.runtime.postgres.pool import Connection

Parameters = Mapping[str, Any]
Statement = tuple[bytes, Parameters]


class Batch:
    """Statements in order."""

    def __init__(self, statements: Iterable[Statement] = ()) -> None:
        self._statements = list(statements)

    def add(self, statement: bytes, parameters: Parameters | None = None) -> None:
        """Append a statement."""
        self._statements.append((statement, parameters or {}))

    async def run(self, connection: Connection) -> None:
        """Run everything."""
        await self.rows(connection)

    async def rows(self, connection: Connection) -> list[list[tuple[Any, ...]]]:
        """Run everything; return the rows of each statement."""
        cursors = []
        async with connection.pipeline():
            for statement, parameters in self._statements:
                cursors.append(await connection.execute(statement, parameters or None, binary=True))
        return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]
