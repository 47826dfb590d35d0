"""What lists cost beside a wide Loop, whose iterations are executions too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.contract.test_repository import NOW, batch, execution
from tiercel.model.execution import ExecutionKind
from tiercel.model.state import State
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter
from tiercel.repository.postgres import PostgresRepository, listing
from tiercel.runtime.embedded import HISTORY_DATABASE, EmbeddedPostgres

ITERATIONS = 2000
LISTED = 20
PARENT = "the-loop"


class Explainer:
    """A pool that counts how many rows a statement's scans look at, and returns none."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self.seen = 0

    async def rows(self, text: sql.Composable, values: Any) -> list[tuple[Any, ...]]:
        explained = await self._connection.execute(sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + text, values)
        row = await explained.fetchone()
        assert row is not None
        self.seen += sum(_looked_at(row[0][0]["Plan"]))
        return []


def _looked_at(node: dict[str, Any]) -> Iterator[int]:
    if "Scan" in node["Node Type"]:
        yield round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
    for child in node.get("Plans", ()):
        yield from _looked_at(child)


@pytest.fixture
async def explainer(history_server: EmbeddedPostgres) -> AsyncIterator[Explainer]:
    """Return one over a history of a few executions that are listed, and many newer iterations of a Loop."""
    uri = history_server.uri(HISTORY_DATABASE)
    repository = PostgresRepository(uri)
    await repository.migrate()
    listed = [execution(NOW - timedelta(minutes=1 + n), State.SUCCESS) for n in range(LISTED)]
    iterations = [
        execution(
            NOW + timedelta(milliseconds=n),
            State.SUCCESS,
            kind=ExecutionKind.LOOP,
            parent_id=PARENT if n < LISTED else "another-loop",
        )
        for n in range(ITERATIONS)
    ]
    await repository.write(batch(*listed, *iterations))
    await repository.close()
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await connection.execute("ANALYZE")
        yield Explainer(connection)


@pytest.mark.parametrize(
    "filters",
    [
        pytest.param([], id="everything"),
        pytest.param(
            [Filter(field=Field.NAMESPACE, value="company.team"), Filter(field=Field.FLOW_ID, value="hello")],
            id="a-flow",
        ),
        pytest.param(
            [Filter(field=Field.PARENT_ID, value=PARENT), Filter(field=Field.KIND, value="LOOP")], id="a-loop"
        ),
    ],
)
async def test_a_list_looks_at_what_it_shows_however_many_iterations_there_are(
    explainer: Explainer, filters: list[Filter]
) -> None:
    """A page of executions, with its total, costs what it shows: the iterations of loops are stepped over unseen."""
    await listing.executions(explainer, "main", filters, Page(size=10))

    assert 0 < explainer.seen <= 3 * LISTED
