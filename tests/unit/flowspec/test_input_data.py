"""Typed values as an execution keeps them: the texts that Kestra's flows see."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
import pytest

from tiercel.expression.values import BigInteger, Char, Float32, Long
from tiercel.flowspec.inputvalue import as_data, cast, data_of
from tiercel.model.input import InputType


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (InputType.DURATION, "PT1M", "PT1M"),
        (InputType.DURATION, "PT90S", "PT1M30S"),
        (InputType.DATETIME, "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        (InputType.DATETIME, "2024-01-01T01:00:00.5+01:00", "2024-01-01T00:00:00.500Z"),
        (InputType.DATE, "2024-01-02", "2024-01-02"),
        (InputType.TIME, "10:20", "10:20:00"),
        (InputType.INT, "3", 3),
        (InputType.JSON, '{"a": [1]}', {"a": [1]}),
    ],
)
def test_when_an_input_is_typed_then_the_execution_keeps_what_flows_see(
    kind: InputType, given: str, expected: Any
) -> None:
    """Dates, times and durations are texts in Kestra's form; all else stays."""
    assert {"x": expected} == as_data({"x": cast(kind, given)})


def test_when_typed_values_are_nested_then_all_of_them_become_data() -> None:
    """Lists and maps are followed."""
    given = {
        "a": [timedelta(hours=1)],
        "b": {"c": datetime(2024, 1, 1, tzinfo=UTC), "d": (date(2024, 1, 2), time(1, 2))},
    }
    assert {"a": ["PT1H"], "b": {"c": "2024-01-01T00:00:00Z", "d": ["2024-01-02", "01:02:00"]}} == as_data(given)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Long(2), 2),
        (Float32(1.5), 1.5),
        (Char("x"), "x"),
        ({"a": [Long(2)]}, {"a": [2]}),
        (BigInteger(2**70), str(2**70)),
        (2**70, str(2**70)),
    ],
)
def test_what_an_expression_computes_with_is_kept_as_what_can_be_sent(value: Any, kept: Any) -> None:
    """Numbers of Java are numbers of ours, and one that no message can carry is the text of its digits."""
    found = data_of(value)

    assert kept == found
    assert type(kept) is type(found)
    assert msgspec.msgpack.encode(found)
