"""What a text may reach is known without evaluating it."""

from __future__ import annotations

import pytest

from tiercel.expression.analysis import DYNAMIC, FunctionCall, reach


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", set()),
        ("{{ outputs.a.value }}{{ inputs['x'] }}", {("outputs", "a", "value"), ("inputs", "x")}),
        ("{{ outputs[taskrun.value].b }}", {("outputs", DYNAMIC), ("taskrun", "value")}),
        ("{% for i in outputs.l %}{{ i.v }}{{ loop.index }}{% endfor %}", {("outputs", "l")}),
        ("{% set x = inputs.a %}{{ x.b }}", {("inputs", "a")}),
        ("{% if a %}{% set y = 1 %}{% endif %}{{ y }}", {("a",), ("y",)}),
        ("{% macro m(p) %}{{ p }}{{ q }}{% endmacro %}{{ m(r) }}", {("q",), ("r",)}),
        ("{{ 'a' ~ (b ?? c) | replace({d: e}) is equals(f) ? g : [h] }}", {(name,) for name in "bcdefgh"}),
        ("{% raw %}{{ a }}{% endraw %}", set()),
        ("{{ fromJson(inputs.j).k[l] }}", {("inputs", "j"), ("l",)}),
    ],
)
def test_paths_are_found(text: str, expected: set[tuple[str, ...]]) -> None:
    """Every variable of the context is found, down to the first key that is not constant."""
    found = reach(text)

    assert expected == found.paths
    assert not found.is_dynamic


def test_calls_have_their_constant_arguments() -> None:
    """Arguments get their names; those that are not constant are marked."""
    found = reach("{{ secret('A') }}{{ kv(inputs.k, namespace='n') }}")

    assert {
        FunctionCall("secret", (("key", "A"),)),
        FunctionCall("kv", (("key", DYNAMIC), ("namespace", "n"))),
    } == found.calls
    assert {"flow", "inputs"} == found.roots


def test_render_is_followed_through_known_variables() -> None:
    """What is rendered again counts, too; a value that is not known makes the reach dynamic."""
    text = {"k": ["{{ render(vars.a) }}"]}

    found = reach(text, {"vars": {"a": "{{ render(vars.b) }}", "b": "{{ outputs.t.x }}"}})

    assert {("vars", "a"), ("vars", "b"), ("outputs", "t", "x")} == found.paths
    assert ("outputs", "t", "x") in found.rendered
    assert not found.is_dynamic
    assert reach(text).is_dynamic
    assert {"a"} == reach(text).below("vars")


def test_the_whole_context_is_dynamic() -> None:
    """A function that returns the context may reach anything."""
    assert reach("{{ fetchContext() }}").is_dynamic
