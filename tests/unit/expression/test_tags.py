"""Tags, whitespace control and raw text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.expression.conftest import renderer
from tiercel.errors import ExpressionError
from tiercel.expression import analysis

Render = Callable[..., str]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% if a > 1 %}x{% elseif a == 1 %}y{% else %}z{% endif %}", "y"),
        ("{% if missing is defined %}x{% endif %}", ""),
        ("{% for i in [4, 5] %}{{ loop.index }}:{{ i }}{% if not loop.last %},{% endif %}{% endfor %}", "0:4,1:5"),
        ("{% for i in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for e in {'k': 1} %}{{ e.key }}={{ e.value }}{% endfor %}", "k=1"),
        (
            "{% for i in 1..2 %}{% for j in 1..2 %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{% endfor %}",
            "110 121 210 221 ",
        ),
        ("{% for i in null %}x{% else %}none{% endfor %}", ""),
        ("{% for i in 1..2 %}{% set own = i %}{% endfor %}{{ own ?? 'gone' }}", "gone"),
        ("{% set t = 0 %}{% for i in 1..3 %}{% set t = t + i %}{% endfor %}{{ t }}", "6"),
        ("{% macro m(x, y='d') %}[{{ x }}{{ y }}]{% endmacro %}{{ m(1) }}{{ m(y=2, x=3) }}", "[1d][32]"),
        ("{{ later() }}{% macro later() %}here{% endmacro %}", "here"),
        ("{% block b %}x{% endblock %}{{ block('b') }}", "xx"),
        ("{% filter upper | replace({'A': 'e'}) %}abc{% endfilter %}", "eBC"),
        ("{% verbatim %}{{ a }}{% endverbatim %}", "{{ a }}"),
        ("{% raw %}{{ a }}{% endraw %}{{ a }}", "{{ a }}1"),
        ("a {# no #} b", "a  b"),
        ("a {{- 1 -}} b", "a1b"),
        ("a {{-1}} b", "a -1 b"),
        ("a\n{%- if true -%}\n b {% endif %}", "ab "),
        ("{ a } {{ '}}' }} {{ {'a': {'b': 1}} }}", '{ a } }} {"a":{"b":1}}'),
        ("no expression", "no expression"),
    ],
)
def test_a_template_has_its_output(render: Render, text: str, expected: str) -> None:
    """Each template prints as Pebble prints it."""
    assert expected == render(text, a=1)


@pytest.mark.parametrize(
    "text", ["{{ 1", "{% if %}", "{% if 1 %}", "{% endif %}", "{% include 'x' %}", "{{ }}", "{# x", "{% set 1 = 2 %}"]
)
def test_an_unfinished_template_is_refused(render: Render, text: str) -> None:
    """A template that is not closed, or uses a tag that Kestra removed, does not parse."""
    with pytest.raises(ExpressionError):
        render(text)


def test_recursive_rendering_ends_when_nothing_changes() -> None:
    """A text is rendered until it no longer changes; raw text is left alone by every pass."""
    context = {"a": "{{ b }}", "b": "{{ c }}", "c": "1"}

    assert "1 {{ a }}" == renderer(recursive=True).render("{{ a }} {% raw %}{{ a }}{% endraw %}", context)


def test_render_follows_variables(render: Render) -> None:
    """The function render() renders its argument again, once or to the end, also below maps and lists."""
    context = {"vars": {"a": "{{ inputs.x }}", "m": {"{{ inputs.x }}": ["{{ vars.a }}"]}}, "inputs": {"x": "v"}}

    assert "v" == render("{{ render(vars.a) }}", **context)
    assert '{"v":["v"]}' == render("{{ render(vars.m) }}", **context)
    assert '{"v":["{{ inputs.x }}"]}' == render("{{ renderOnce(vars.m) }}", **context)


def test_maps_and_lists_are_rendered_with_their_keys() -> None:
    """A value is rendered through; what is no text stays as it is; null is "" in 1.x and null in 2.x."""
    value = {"{{ k }}": ["{{ 1 }}", 2, {"n": "{{ null }}"}]}

    assert {"key": ["1", 2, {"n": ""}]} == renderer().render_value(value, {"k": "key"})
    assert {"key": ["1", 2, {"n": None}]} == renderer("2.x").render_value(value, {"k": "key"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{{ 1 + 1 }}", 2), ("{{ [1, 2] }}\n", [1, 2]), ("{{ true }}", True), ("a{{ 'b' }}", "ab"), ("{{ null }}", None)],
)
def test_a_lone_expression_keeps_its_type(text: str, expected: object) -> None:
    """A typed rendering gives the value itself."""
    assert expected == renderer().render_typed(text, {})
    assert expected == renderer("2.x").render_typed(text, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ 1 + 1 }}\n", 2),
        ("{{ [1] }}\n", [1]),
        ("n: {{ 1 }}", "n: 1"),
        ("{{ 1 }}{{ 2 }}", "12"),
        ("l {{ [1] }}", "l [1]"),
    ],
)
def test_data_is_a_lone_value_or_text(text: str, expected: object) -> None:
    """What becomes an output or an input keeps the type of a lone expression; beside text everything is text."""
    assert expected == renderer().render_data(text, {})
    assert None is renderer().render_data("{{ null }}", {})


def test_typed_pieces_are_joined_by_dialect() -> None:
    """In 1.x numbers add up, in 2.x they are joined as text."""
    assert 3 == renderer().render_typed("{{ 1 }}{{ 2 }}", {})
    assert "12" == renderer("2.x").render_typed("{{ 1 }}{{ 2 }}", {})
    with pytest.raises(ExpressionError):
        renderer().render_typed("{{ 1 }}{{ 'a' }}", {})


def test_when_a_macro_is_given_the_context_then_it_sees_what_is_around(render: Render) -> None:
    """A macro sees its arguments only; `_context` holds all that can be seen where it stands."""
    text = '{% set foo = "bar" %}{% macro show(_context) %}{{ _context.foo }}{{ _context.i }}{% endmacro %}'

    assert "bar5" == render(text + "{{ show(_context) }}", i=5)
    assert analysis.reach("{{ _context.outputs.a }}").is_dynamic


def test_when_a_macro_names_what_is_around_then_it_is_missing(render: Render) -> None:
    """A macro sees its arguments only; what functions know is not hidden from them."""
    with pytest.raises(ExpressionError, match="Unable to find `i`"):
        render("{% macro show() %}{{ i }}{% endmacro %}{{ show() }}", i=5)

    assert "5" == render("{% macro show() %}{{ render('{{ i }}') }}{% endmacro %}{{ show() }}", i=5)
