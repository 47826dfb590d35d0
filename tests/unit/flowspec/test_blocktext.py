"""Flows that come as JSON become a text that an author could have written."""

from __future__ import annotations

import json

from tiercel.flowspec import blocktext
from tiercel.flowspec.yaml import read_documents

FLOW = {
    "id": "f",
    "texts": ["1", "1e3", "010", "true", "yes", "2026-01-01", "", " a ", "a: b", "# a", "{{ a }}", "é", "*a", "null"],
    "lines": ["a\nb", "a\n", "  a\n b\n\n", "\n a \n"],
    "values": {"int": 1, "float": 1.5, "bool": False, "nothing": None, "empty": [], "map": {}},
}


def test_json_becomes_yaml_of_the_same_values() -> None:
    """Texts stay texts, whatever they look like; lines of a text are lines."""
    text = blocktext.from_json(json.dumps(FLOW))

    assert FLOW == read_documents(text)[0].data
    assert "- |-\n  a\n  b\n" in text


def test_a_list_becomes_a_document_for_each_flow() -> None:
    """As they stand in a file of several flows."""
    assert "id: a\n---\nid: b\n" == blocktext.from_json('[{"id": "a"}, {"id": "b"}]')


def test_what_is_no_json_stays_as_it_is() -> None:
    """YAML may begin with a brace, too."""
    for text in ("id: a\n", "{id: a}\n", "[1, 2]", "[]", "{", ""):
        assert text == blocktext.from_json(text)


def test_a_flow_in_braces_is_written_in_lines() -> None:
    """A text in lines keeps its comments."""
    assert "id: a\ntasks: []\n" == blocktext.in_lines("{id: a, tasks: []}")
    assert "id: a # here\n" == blocktext.in_lines("id: a # here\n")
