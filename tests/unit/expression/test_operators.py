"""Operators follow Pebble's precedence and Java's rules for numbers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.unit.expression.conftest import renderer
from tiercel.errors import ExpressionError

Render = Callable[..., str]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3"),
        ("100 + 10l * 2.5", "125.0"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("7 / 2.0", "3.5"),
        ("1.0 / 0", "Infinity"),
        ("9223372036854775807 + 1", "-9223372036854775808"),
        ("10000000.0", "1.0E7"),
        ("0.00001", "1.0E-5"),
        ("'a' + 1", "a1"),
        ("'a' ~ null ~ 1.50", "a1.5"),
        ("[1] + 2", "[1,2]"),
        ("[1, 2, 3] - [2]", "[1,3]"),
        ("'a' ~ 'b' | upper", "AB"),
        ("'a' + 'b' | upper", "aB"),
        ("1 == 1.0", "true"),
        ("1 == '1'", "false"),
        ("true == 1", "false"),
        ("'b' > 'a'", "true"),
        ("null > 1", "false"),
        ("not true or true", "true"),
        ("not (true or true)", "false"),
        ("true ? 'y' : 'n'", "y"),
        ("0 ? 'y' : 'n'", "n"),
        ("1..4", "[1,2,3,4]"),
        ("'a'..'c'", '["a","b","c"]'),
        ("[1, 2] contains [2, 1]", "true"),
        ("{'k': 1} contains 'k'", "true"),
        ("'order-1' matches 'order'", "false"),
        ("'order-1' matches '\\w+-\\d'", "true"),
        ("1 isIn [1, 2]", "true"),
        ("3 isNotIn [1, 2]", "true"),
        ("1 is odd and 2 is even", "true"),
        ("'' is empty", "true"),
        ("[] is not iterable", "false"),
        ("nothing is defined", "false"),
        ("nothing.at.all is not defined", "true"),
        ("nothing ?? null ?? 'x'", "x"),
        ("null ??? 'x'", ""),
        ("nothing ??? 'x'", "x"),
        ('"a#{1 + 1}b"', "a2b"),
        ("'it\\'s'", "it's"),
        ("5L", "5"),
    ],
)
def test_an_operator_has_its_value(render: Render, expression: str, expected: str) -> None:
    """Each expression prints as Pebble prints it."""
    assert expected == render("{{ " + expression + " }}")


def test_a_big_decimal_makes_all_big_decimal(render: Render) -> None:
    """A sum with a BigDecimal is exact."""
    assert "0.3" == render("{{ a + b }}", a=Decimal("0.1"), b=Decimal("0.2"))


@pytest.mark.parametrize("expression", ["1 / 0", "1 + null", "[1] * 2", "{} > 1", "1 ? : 2", "a b", "1 +", "'x", "(1"])
def test_nonsense_fails_with_the_place(render: Render, expression: str) -> None:
    """Whatever cannot be parsed or evaluated is an error of the author, with the line."""
    with pytest.raises(ExpressionError, match=r":1\)$"):
        render("{{ " + expression + " }}")


def test_a_missing_name_gets_a_hint(render: Render) -> None:
    """An unknown name fails with the expression, the line and the nearest known name."""
    with pytest.raises(ExpressionError) as raised:
        render("\n{{ inputs.nmae }}", inputs={"name": 1})

    expected = "Unable to find `nmae` used in the expression `\n{{ inputs.nmae }}` at line 2. Did you mean `name`?"
    assert expected == str(raised.value)


@pytest.mark.parametrize("name", ["__class__", "__init__", "keys", "append", "mro", "real", "upper"])
def test_python_attributes_do_not_exist(render: Render, name: str) -> None:
    """No attribute or method of a Python object can be reached."""
    for value in ("text", 1, 1.5, [], {}, None, object()):
        with pytest.raises(ExpressionError):
            render("{{ value." + name + " }}", value=value)
        with pytest.raises(ExpressionError):
            render("{{ value['" + name + "'] }}", value=value)


def test_decimals_that_are_too_far_apart_fail_with_a_sentence() -> None:
    """The library's own text would be the name of its class."""
    with pytest.raises(ExpressionError, match=r"-1\.0 % 1E-400 cannot be computed with 34 digits"):
        renderer().render("{{ -1 % tiny }}", {"tiny": Decimal("1E-400")})
