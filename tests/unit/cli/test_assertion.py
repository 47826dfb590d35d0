"""The operators of flow tests."""

from __future__ import annotations

from typing import Any

import pytest

from tiercel.cli.assertion import OPERATORS, judge
from tiercel.cli.suite import OPERATORS as WRITTEN

HOLD: list[tuple[str, Any, Any]] = [
    ("equalTo", 200, "200"),
    ("equalTo", "a", "a"),
    ("equalTo", True, "true"),
    ("equalTo", {"b": [1], "a": 2}, '{"a": 2, "b": [1]}'),
    ("notEqualTo", 200, 201),
    ("notEqualTo", None, ""),
    ("contains", "success is near", "success"),
    ("contains", ["a", 5], "5"),
    ("startsWith", "prod-1", "prod-"),
    ("endsWith", "kestra:///a/b.json", ".json"),
    ("greaterThan", "10", 9),
    ("greaterThan", "b", "a"),
    ("greaterThanOrEqualTo", 5, "5.0"),
    ("lessThan", 9, 10),
    ("lessThanOrEqualTo", 20, 20),
    ("in", 201, [200, 201]),
    ("in", "a", '["a", "b"]'),
    ("notIn", 404, [200, 201]),
    ("isNull", None, True),
    ("isNull", "x", False),
    ("isNotNull", "", "true"),
]
FAIL: list[tuple[str, Any, Any, str]] = [
    ("equalTo", "a", "b", "expected 'a' to be equal to 'b'"),
    ("equalTo", None, "", "expected null to be equal to ''"),
    ("notEqualTo", 5, "5", "expected 5 to be other than '5'"),
    ("contains", None, "x", "expected null to be something that contains 'x'"),
    ("startsWith", "test-1", "prod-", "expected 'test-1' to be something that starts with 'prod-'"),
    ("endsWith", "a.csv", ".json", "expected 'a.csv' to be something that ends with '.json'"),
    ("greaterThan", 9, 10, "expected 9 to be greater than 10"),
    ("greaterThan", None, 1, "expected null to be greater than 1"),
    ("greaterThanOrEqualTo", 4, 5, "expected 4 to be at least 5"),
    ("lessThan", 100, 20, "expected 100 to be less than 20"),
    ("lessThanOrEqualTo", 21, 20, "expected 21 to be at most 20"),
    ("in", 500, [200, 201], "expected 500 to be one of [200,201]"),
    ("notIn", 404, [404], "expected 404 to be none of [404]"),
    ("isNull", 0, True, "expected 0 to be null"),
    ("isNotNull", None, True, "expected null to not be null"),
]


@pytest.mark.parametrize(("operator", "actual", "expected"), HOLD)
def test_what_holds(operator: str, actual: Any, expected: Any) -> None:
    """Texts and numbers that are written alike are equal; order is that of numbers where both are."""
    assert judge(operator, actual, expected).reason is None


@pytest.mark.parametrize(("operator", "actual", "expected", "reason"), FAIL)
def test_what_does_not_hold_is_said_in_a_sentence(operator: str, actual: Any, expected: Any, reason: str) -> None:
    """The sentence shows both values."""
    assert reason == judge(operator, actual, expected).reason


def test_every_operator_that_can_be_written_has_a_meaning_and_is_tried() -> None:
    """The list of the suites and that of the meanings are one."""
    written = set(WRITTEN.values())

    assert written == set(OPERATORS)
    assert written == {each[0] for each in HOLD} == {each[0] for each in FAIL}
