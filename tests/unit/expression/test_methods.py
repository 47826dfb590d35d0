"""Methods of texts, lists, maps and numbers: a closed list, and nothing of Python's objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.expression.conftest import renderer
from tiercel.errors import ExpressionError
from tiercel.expression import Limits, analysis
from tiercel.expression.failure import LimitExceeded, Undefined

Render = Callable[..., str]
CONTEXT: dict[str, Any] = {"items": [1, 2, 2], "name": "a,b", "map": {"k": 1, "size": "big"}, "number": 2.5}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("items.size()", "3"),
        ("items.size", "3"),
        ("items.isEmpty() ~ items.empty", "falsefalse"),
        ("items.contains(2) ~ items.containsAll([1, 5])", "truefalse"),
        ("items.get(0) ~ items.getLast() ~ items.indexOf(2) ~ items.lastIndexOf(2)", "1212"),
        ("items.subList(1, 3)", "[2,2]"),
        ("name.length() ~ name.length", "33"),
        ("name.toUpperCase().split(',').size()", "2"),
        ("name.substring(1) ~ name.substring(0, 1) ~ name.charAt(2)", ",bab"),
        ("name.replace(',', ';') ~ name.replaceAll('[a-b]', '<$0>')", "a;b<a>,<b>"),
        ("name.contains('b') and name matches 'a.b' and not name.isBlank()", "true"),
        ("name.equalsIgnoreCase('A,B') ~ name.compareTo('a,c')", "true-1"),
        ("map.size() ~ map.size", "2big"),
        ("map.keySet()", '["k","size"]'),
        ("map.getOrDefault('x', 7) ~ map.containsKey('k')", "7true"),
        ("map.entrySet()[0].getKey() ~ map.entrySet()[0].value", "k1"),
        ("number.intValue() ~ number.toString()", "22.5"),
        ("nothing.size() ?? 'none'", "none"),
    ],
)
def test_when_a_method_is_called_then_it_answers_as_java_does(render: Render, expression: str, expected: str) -> None:
    """Methods that read a value can be called; some as attributes, unless a map has an entry of the name."""
    assert render("{{ " + expression + " }}", **CONTEXT) == expected


@pytest.mark.parametrize(
    "expression",
    ["name.getClass()", "name.__class__", "name.format('x')", "items.append(1)", "map.clear()", "number.hex()"],
)
def test_when_a_method_is_not_on_the_list_then_it_does_not_exist(render: Render, expression: str) -> None:
    """Nothing of a Python object, and nothing that changes a value, can be reached."""
    with pytest.raises(Undefined):
        render("{{ " + expression + " }}", **CONTEXT)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("items.get()", "takes 1 arguments, but got 0"),
        ("items.containsAll(name)", r"The method 'containsAll\(\)' takes a list"),
        ("items.containsAll(null)", r"The method 'containsAll\(\)' takes a list"),
        ("items.get(9)", "Index 9 out of bounds for length 3"),
        ("name.contains(part='a')", "A method has no named arguments"),
        ("name.substring(2, 1)", "begin 2, end 1, length 3"),
    ],
)
def test_when_a_method_is_called_wrongly_then_the_message_says_how(
    render: Render, expression: str, message: str
) -> None:
    """A call that Java would refuse is refused with its reason."""
    with pytest.raises(ExpressionError, match=message):
        render("{{ " + expression + " }}", **CONTEXT)


def test_when_a_method_would_make_a_huge_text_then_it_is_stopped() -> None:
    """Methods have the bounds of filters."""
    with pytest.raises(LimitExceeded):
        renderer().render("{{ name.repeat(100000000000) }}", CONTEXT)


def test_when_a_method_is_called_on_outputs_then_the_analysis_sees_them() -> None:
    """What a method is called on, and its arguments, belong to what an expression may reach."""
    assert {"outputs", "inputs"} == analysis.reach("{{ outputs.a.files.get(inputs.n) }}").roots


def test_when_a_text_has_very_many_matches_then_time_is_watched() -> None:
    """Each match is quick, and they are not bounded in number."""
    hurried = renderer(limits=Limits(time_max_s=0.05))
    for call in ("replaceAll('', 'b')", "split('[a]')"):
        with pytest.raises(LimitExceeded, match=r"longer than 0\.05 seconds"):
            hurried.render("{{ text." + call + " }}", {"text": "a" * 1_000_000})
