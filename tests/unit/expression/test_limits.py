"""No text can hang or exhaust the process, or fail with anything but an ExpressionError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.templates import tried
from tests.unit.expression.conftest import renderer
from tiercel.errors import ExpressionError
from tiercel.expression import Limits, java_regex
from tiercel.expression.analysis import reach
from tiercel.expression.failure import LimitExceeded

DOUBLING = "{% for i in 1..60 %}{% set x = "


@pytest.mark.parametrize(
    "text",
    [
        "{% set x = 'aaaa' %}" + DOUBLING + "x ~ x %}{% endfor %}",
        "{% set x = 'aaaa' %}" + DOUBLING + "x + x %}{% endfor %}",
        "{% set x = [1] %}" + DOUBLING + "x + x %}{% endfor %}",
        "{% set x = [1] %}" + DOUBLING + "[x, x] %}{% endfor %}{{ x }}",
        "{% set x = [1] %}" + DOUBLING + "[x, x] %}{% endfor %}{{ x | yaml }}",
        "{% set x = [1] %}" + DOUBLING + "[x, x] %}{% endfor %}{{ x == [x] }}",
        "{% for i in 1..2000 %}{% for j in 1..2000 %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 1..99999999 }}",
        "{{ 'a\nb' | indent(999999999) }}",
        "{{ " + "(" * 400 + "1" + ")" * 400 + " }}",
        "{{ 1" + "+1" * 400 + " }}",
        "{{ a" + ".a" * 400 + " }}",
        "{{ render(loop_) }}",
    ],
)
def test_what_grows_without_end_is_stopped(text: str) -> None:
    """Doubling values, deep nesting and long loops end with an error."""
    with pytest.raises(ExpressionError):
        renderer(limits=Limits(step_count_max=100_000)).render(text, {"loop_": "{{ render(loop_) }}"})


def test_splitting_at_a_plain_text_needs_no_regular_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of many lines would take its time otherwise."""
    monkeypatch.setattr(java_regex, "compiled", None)

    assert '["a","b","c\\nd"]' == renderer().render("{{ x | split(n, 3) }}", {"x": "a\nb\nc\nd", "n": "\n"})


def test_time_is_bounded() -> None:
    """A rendering that takes too long is stopped."""
    slow = "{% for i in 1..900000 %}{% endfor %}"

    with pytest.raises(LimitExceeded, match="takes longer"):
        renderer(limits=Limits(time_max_s=0.01)).render(slow, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% for i in 1..500 %}xxxxxxxxxx{% endfor %}", "larger than the maximum allowed size of 1000"),
        ("{{ range(2000000000, 0, -1) }}", "cannot produce more than 1000000 elements"),
    ],
)
def test_a_bound_is_named(text: str, said: str) -> None:
    """The message says which bound was reached."""
    with pytest.raises(ExpressionError, match=said):
        renderer(limits=Limits(size_max=1000)).render(text, {})


def test_a_signal_of_the_host_passes_through() -> None:
    """What a host raises for a fact that it has yet to fetch is not turned into an error of the author."""

    class MissingError(Exception):
        pass

    own = renderer()

    def absent(namespace: str, key: str) -> str:
        raise MissingError

    own.host.secret = absent
    with pytest.raises(MissingError):
        own.render("{{ secret('K') ?? 'x' }}", {"flow": {"namespace": "n"}})


_NAMES = ["a", "b.c", "nope", "loop", "list", "text"]
_FILTERS = sorted(set(renderer().engine.filters) - {"jq"})
_FUNCTIONS = sorted(set(renderer("2.x").engine.functions) - {"http", "subflow"})
_ATOMS = st.sampled_from(
    [*_NAMES, "1", "2.5", "'s'", '"#{a}"', "null", "true", "[]", "{}", "[1, 'x']", "{'k': 1}", "-1", ""]
)
_OPERATORS = ["+", "-", "*", "/", "%", "~", "==", ">", "and", "or", "??", "???", "..", "contains", "matches", "isIn"]


def _extended(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(_OPERATORS), inner).map(" ".join),
        st.tuples(inner, st.sampled_from(_FILTERS)).map(" | ".join),
        st.tuples(inner, st.sampled_from(_FILTERS), inner, inner).map(lambda p: f"{p[0]} | {p[1]}({p[2]}, {p[3]})"),
        st.tuples(st.sampled_from(_FUNCTIONS), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
        st.tuples(inner, st.sampled_from(["empty", "odd", "json", "map", "defined"])).map(
            lambda p: f"{p[0]} is not {p[1]}"
        ),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} ? {p[1]} : {p[2]})[{p[0]}]"),
    )


_EXPRESSIONS = st.recursive(_ATOMS, _extended, max_leaves=8)
_TEMPLATES = st.one_of(
    _EXPRESSIONS.map(lambda text: "{{ " + text + " }}"),
    st.tuples(_EXPRESSIONS, _EXPRESSIONS).map(lambda p: f"{{% for i in {p[0]} %}}{{{{ {p[1]} }}}}{{% endfor %}}"),
    _EXPRESSIONS.map(lambda text: "{% if " + text + " %}x{% else %}y{% endif %}"),
    st.text(alphabet="{}%#-'\"|()[]., ab1=\\?:~\n", max_size=40).map(lambda text: "{{" + text),
)
_CONTEXT = {"a": 1, "b": {"c": "{{ a }}"}, "list": [3, "x", None, {"k": 1.5}], "text": "2024-01-01T00:00:00Z"}


@settings(max_examples=400, deadline=None)
@given(_TEMPLATES, st.sampled_from(["1.x", "2.x"]))
def test_random_templates_render_or_fail_cleanly(text: str, dialect: str) -> None:
    """Any text renders to a text or raises an ExpressionError, and its analysis does the same."""
    own = renderer(dialect, limits=Limits(step_count_max=20_000, time_max_s=2.0))

    for action in (lambda: own.render(text, _CONTEXT), lambda: reach(text)):
        # Any other exception than this one fails the test.
        with suppress(ExpressionError):
            assert action() is not None


@pytest.mark.parametrize("seed", [1, 2])
def test_fuzzed_templates_show_nothing_of_python(seed: int) -> None:
    """They render to values of the language or fail cleanly, in time; `python -m tests.fuzz.templates` tries more."""
    ends, found = tried(1500, seed)

    assert [] == found
    assert ends["rendered"] > 500


def test_what_is_not_reached_is_not_asked() -> None:
    """Secrets, keys, files and requests cost something, and may be missing: branches that are not taken ask nothing."""
    own = renderer("2.x")
    asked: list[str] = []
    for name in ("secret", "kv", "read_file", "http"):
        setattr(own.host, name, lambda *_, name=name, **__: asked.append(name))
    context = {"flow": {"namespace": "n"}, "a": "there"}

    for call in ("secret('K')", "kv('k')", "read('f.txt')", "http(uri='http://127.0.0.1/')"):
        for text in (
            f"{{{{ a ?? {call} }}}}",
            f"{{{{ true ? a : {call} }}}}",
            f"{{{{ false and {call} }}}}",
            f"{{{{ true or {call} }}}}",
            f"{{% if false %}}{{{{ {call} }}}}{{% endif %}}",
            f"{{% for i in [] %}}{{{{ {call} }}}}{{% endfor %}}",
            f"{{# {{{{ {call} }}}} #}}",
        ):
            own.render(text, context)

    assert [] == asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ 'a' matches long }}", "at most 20000 are allowed"),
        ("{{ 'a' | date(existingFormat=long) }}", "at most 1000 are allowed"),
        ("{{ yaml(brackets) }}", "brackets are nested more than 200 deep"),
        ("{{ yaml(longer) }}", "at most 3145728 are read"),
    ],
)
def test_what_cannot_be_stopped_once_it_has_begun_is_not_begun(text: str, expected: str) -> None:
    """Patterns are compiled and YAML is read in one go, so that their size is looked at before."""
    context = {"long": "(a" * 50_000, "brackets": "[" * 5_000, "longer": "a" * 4_000_000}

    with pytest.raises(ExpressionError, match=expected):
        renderer().render(text, context)


def test_messages_stay_short_and_keep_their_end() -> None:
    """Values are quoted in them, whatever their size; the end says where."""
    with pytest.raises(ExpressionError) as failed:
        renderer().render("{{ text | number }}", {"text": "x" * 1_000_000})

    assert 4000 < len(str(failed.value)) < 4010
    assert str(failed.value).endswith("is not a valid number. ({{ text | number }}:1)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ map | date }}", "'{a=null}' is no date"),
        ("{{ true | date }}", "'true' is no date"),
        ("{{ block(map) }}", r"The block \[{a=null}\] does not exist"),
        ("{% for one in true %}{% endfor %}", r"Value = \[true\]"),
        ("{{ half | md5 }}", "half of a surrogate pair"),
        ("{{ [1] | jq(half) }}", "half of a surrogate pair"),
        ("{{ fromIon(half) }}", "half of a surrogate pair"),
    ],
)
def test_messages_speak_of_values_in_the_words_of_the_language(text: str, expected: str) -> None:
    """Not as Python would write them."""
    with pytest.raises(ExpressionError, match=expected):
        renderer().render(text, {"map": {"a": None}, "half": "\ud83d"})
