"""YAML to plain data: what plain scalars mean, where nodes stand, and what is refused."""

from __future__ import annotations

import pytest

from tiercel.errors import InvalidFlow
from tiercel.flowspec import yaml as flow_yaml
from tiercel.flowspec.yaml import plain_scalar, read_documents


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("true", True),
        ("TRUE", True),
        ("yes", "yes"),
        ("on", "on"),
        ("~", None),
        ("null", None),
        ("", None),
        ("12", 12),
        ("1_000", 1000),
        ("010", 8),
        ("089", "089"),
        ("0x1F", 31),
        ("0b", "0b"),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("10:00:00", "10:00:00"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1.2.3", "1.2.3"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_mean_what_kestra_reads(written: str, expected: object) -> None:
    """Dates, times and yes/no stay texts; numbers follow YAML 1.1."""
    found = plain_scalar(written)

    assert (type(expected), expected) == (type(found), found)


def test_quoted_and_tagged_scalars_stay_texts() -> None:
    """Quotes and `!!str` keep a number a text."""
    (document,) = read_documents("a: '12'\nb: !!str 12\nc: |\n  12\n")

    assert {"a": "12", "b": "12", "c": "12\n"} == document.data


def test_every_node_has_its_place() -> None:
    """A path leads to line and column; the deepest part that exists counts."""
    (document,) = read_documents("id: a\ntasks:\n  - id: x\n    type: t\n")

    assert (4, 5) == document.place(("tasks", 0, "type"))
    assert (3, 5) == document.place(("tasks", 0, "missing"))


def test_a_key_that_stands_twice_is_a_problem_at_its_place() -> None:
    """The second value would silently win."""
    (document,) = read_documents("id: a\nid: b\n")

    assert ["id: Duplicate field 'id' (line 2, column 1)"] == [str(problem) for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'a: {b: "x\\0"}',
            "a.b: The text holds the character NUL, which nothing can store; leave it out. (line 1, column 8)",
        ),
        (
            'a:\n  "x\\0": 1',
            "a: The text holds the character NUL, which nothing can store; leave it out. (line 2, column 3)",
        ),
    ],
)
def test_nul_is_refused_where_it_stands(text: str, problem: str) -> None:
    """As a value and as a key: PostgreSQL takes it in no text."""
    [document] = read_documents(text)

    assert [problem] == [str(each) for each in document.problems]


def test_merge_keys_give_way_to_own_keys() -> None:
    """`<<` fills in what the map does not say itself."""
    (document,) = read_documents("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n")

    assert {"b": 1, "c": 3} == document.data["d"]


def test_an_expression_without_quotes_is_said_to_need_them() -> None:
    """`{{ x }}` without quotes is a map with a map as its key."""
    (document,) = read_documents("message: {{ x }}\n")

    assert "put an expression in quotes" in str(document.problems[0])


def test_text_that_is_no_yaml_is_refused_with_line_and_reason() -> None:
    """The parser's own reason is kept."""
    with pytest.raises(InvalidFlow, match=r"YAML parsing error: .* at line 2") as caught:
        read_documents("a: [1\nb: 2\n")
    assert caught.value.problems[0].line is not None


def test_a_bomb_of_aliases_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aliases are expanded within a bound."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    monkeypatch.setattr(flow_yaml, "MAX_NODES", 10_000)

    with pytest.raises(InvalidFlow, match="make it smaller"):
        read_documents("\n".join(lines))


def test_an_alias_of_itself_is_refused() -> None:
    """A node that holds itself has no end."""
    with pytest.raises(InvalidFlow):
        read_documents("a: &a [*a]\n")


def test_a_number_of_more_than_64_bits_is_a_problem() -> None:
    """Messages cannot carry it; in quotes it is a text."""
    (document,) = read_documents("a: 9223372036854775807\nb: 9223372036854775808\nc: '9223372036854775808'")

    assert {"a": 2**63 - 1, "b": "9223372036854775808", "c": "9223372036854775808"} == document.data
    assert [("b", 2)] == [(problem.path, problem.line) for problem in document.problems]
