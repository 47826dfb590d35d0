"""
What an assertion of a flow test means: its operators, over rendered values.

Values of flows are texts as often as numbers (`"200"` and 200), so values are compared as the template language writes
them; order is that of numbers where both are numbers, else that of texts.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from tiercel.expression.printing import text_of
from tiercel.expression.truth import says_true


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one claim; `reason` says why it does not hold."""

    operator: str
    expected: Any
    actual: Any
    reason: str | None = None

    @property
    def holds(self) -> bool:
        return self.reason is None


def judge(operator: str, actual: Any, expected: Any) -> Judgement:
    """Say whether the claim holds."""
    if OPERATORS[operator](actual, expected):
        return Judgement(operator=operator, expected=expected, actual=actual)
    if operator in ("isNull", "isNotNull"):
        claim = "be null" if says_true(text_of(expected)) == (operator == "isNull") else "not be null"
    else:
        claim = f"be {_WORDS[operator]} {_shown(expected)}"
    reason = f"expected {_shown(actual)} to {claim}"
    return Judgement(operator=operator, expected=expected, actual=actual, reason=reason)


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value) if isinstance(value, str) else text_of(value)
    return text if len(text) <= 500 else f"{text[:497]}..."


def _equal(actual: Any, expected: Any) -> bool:
    if actual is None or expected is None:
        return actual is expected
    if actual == expected or text_of(actual) == text_of(expected):
        return True
    # Structures may be written as JSON, in another order than they come.
    return isinstance(actual, dict | list) and actual == _json(expected)


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _in(actual: Any, expected: Any) -> bool:
    given = _json(expected)
    return any(_equal(actual, each) for each in (given if isinstance(given, list) else [given]))


def _contains(actual: Any, expected: Any) -> bool:
    if isinstance(actual, list) and any(_equal(each, expected) for each in actual):
        return True
    return actual is not None and text_of(expected) in text_of(actual)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(actual: Any, expected: Any) -> bool:
        if actual is None:
            return False
        numbers = _number(actual), _number(expected)
        if None not in numbers:
            return test(*numbers)
        return test(text_of(actual), text_of(expected))

    return compare


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(text_of(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "equalTo": _equal,
    "notEqualTo": lambda actual, expected: not _equal(actual, expected),
    "contains": _contains,
    "startsWith": lambda actual, expected: actual is not None and text_of(actual).startswith(text_of(expected)),
    "endsWith": lambda actual, expected: actual is not None and text_of(actual).endswith(text_of(expected)),
    "greaterThan": _ordered(lambda actual, expected: actual > expected),
    "greaterThanOrEqualTo": _ordered(lambda actual, expected: actual >= expected),
    "lessThan": _ordered(lambda actual, expected: actual < expected),
    "lessThanOrEqualTo": _ordered(lambda actual, expected: actual <= expected),
    "in": _in,
    "notIn": lambda actual, expected: not _in(actual, expected),
    "isNull": lambda actual, expected: (actual is None) == says_true(text_of(expected)),
    "isNotNull": lambda actual, expected: (actual is not None) == says_true(text_of(expected)),
}
_WORDS: Final = {
    "equalTo": "equal to",
    "notEqualTo": "other than",
    "contains": "something that contains",
    "startsWith": "something that starts with",
    "endsWith": "something that ends with",
    "greaterThan": "greater than",
    "greaterThanOrEqualTo": "at least",
    "lessThan": "less than",
    "lessThanOrEqualTo": "at most",
    "in": "one of",
    "notIn": "none of",
}
