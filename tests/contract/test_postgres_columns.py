"""Columns that are packed by hand arrive as what they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.backends import PostgresContract
from tiercel.runtime.postgres import array

LONG_AGO = datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "values"),
    [
        (array.int2s, [0, -1, 32767, -32768]),
        (array.int4s, [0, 2**31 - 1, -(2**31)]),
        (array.int8s, [0, 2**63 - 1, -(2**63)]),
        (array.bools, [True, False]),
        (array.texts, ["", "überall", "a,b{}\"'\\", "𝄞" * 1000]),
        (array.byteas, [b"", b"\x00\xff", b"x" * 100_000]),
        (array.instants, [LONG_AGO, None, LONG_AGO + timedelta(days=40_000, microseconds=1)]),
        (array.int8s, []),
        (array.texts, []),
        (array.instants, []),
    ],
)
async def test_a_column_arrives_as_it_was(postgres: PostgresContract, made: Any, values: list[Any]) -> None:
    """Empty ones and extremes too."""
    ((found,),) = await postgres.admin.fetch(b"SELECT %(column)s", {"column": made(values)})

    assert values == found
