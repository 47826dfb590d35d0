"""
YAML as Jackson reads and writes it.

Only `true`, `false`, `null`, numbers and texts are told apart: `yes` and dates stay texts, unlike in YAML 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tiercel.expression.printing import java_text, json_of, plain_text, weigh
from tiercel.expression.values import is_map, is_number, is_sequence

# What SnakeYAML, which Kestra reads YAML with, takes at most.
_SIZE_MAX = 3 * 1024 * 1024
# The reader looks at each open bracket for each character, so that thousands of them would take seconds.
_BRACKETS_MAX = 200


class _Loader(yaml.SafeLoader):
    """A loader that resolves plain scalars as Jackson does, and follows no nesting that would take long to read."""

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803 - the name of the base class
        """Begin a list or map in brackets."""
        if self.flow_level >= _BRACKETS_MAX:
            raise yaml.YAMLError(f"brackets are nested more than {_BRACKETS_MAX} deep")
        super().fetch_flow_collection_start(TokenClass)


# The tag, what its scalars look like, and the letters they begin with ("" stands for an empty scalar).
_RESOLVERS: tuple[tuple[str, str, list[str]], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)", list("-+0123456789")),
    ("float", r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?", list("-+0123456789")),
    ("merge", "<<", ["<"]),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _starts in _RESOLVERS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _starts)


def loads(text: str) -> Any:
    """Read one YAML document; raise ValueError when it is none or too large."""
    if len(text) > _SIZE_MAX:
        raise ValueError(f"Invalid yaml: it has {len(text)} characters, and at most {_SIZE_MAX} are read")
    try:
        return _checked(yaml.load(text, Loader=_Loader), [0])
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"Invalid yaml: {error}") from error


# Aliases can make a short text expand without end.
_NODES_MAX = 1_000_000


def _checked(value: Any, count: list[int]) -> Any:
    count[0] += 1
    if count[0] > _NODES_MAX:
        raise ValueError(f"Invalid yaml: it holds more than {_NODES_MAX} values")
    if isinstance(value, dict):
        return {key if isinstance(key, str) else java_text(key): _checked(item, count) for key, item in value.items()}
    if isinstance(value, list):
        return [_checked(item, count) for item in value]
    return value


def dumps(value: Any, *, list_indent: str = " ") -> str:
    """Write a value as YAML: few quotes, lists set in by `list_indent`, a final line break."""
    weigh(value)
    return "\n".join(_lines(value, list_indent)) + "\n"


def _lines(value: Any, list_indent: str) -> Iterator[str]:
    if is_map(value) and value:
        for key, item in value.items():
            yield from _entry(key, item, list_indent)
    elif is_sequence(value) and value:
        for item in value:
            lines = list(_lines(item, list_indent))
            yield f"{list_indent}- {lines[0]}"
            yield from (f"{list_indent}  {line}" for line in lines[1:])
    else:
        yield from _scalar(value).split("\n")


def _entry(key: Any, item: Any, list_indent: str) -> Iterator[str]:
    name = _scalar(java_text(key))
    is_nested = (is_map(item) or is_sequence(item)) and bool(item)
    if not is_nested:
        lines = _scalar(item).split("\n")
        yield f"{name}: {lines[0]}"
        yield from (f"  {line}" if line else "" for line in lines[1:])
        return
    yield f"{name}:"
    indent = "  " if is_map(item) else ""
    yield from (indent + line for line in _lines(item, list_indent))


def _scalar(value: Any) -> str:
    if is_map(value):
        return "{}"
    if is_sequence(value):
        return "[]"
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool) or is_number(value):
        return java_text(value)
    return json_of(value).strip('"') if isinstance(value, bytes) else plain_text(value)


_RESERVED = frozenset({"", "~", "true", "false", "null", "yes", "no", "y", "n", "on", "off"})
_SPECIAL_START = re.compile(r"[\s\-?:,\[\]{}#&*!|>'\"%@`]")
_SPECIAL = re.compile(r":(?:\s|$)|\s#|[\x00-\x08\x0b-\x1f\x7f]|\s$")


def _text(text: str) -> str:
    if "\n" in text and not text.startswith((" ", "\n")):
        chomp = "" if text.endswith("\n") and not text.endswith("\n\n") else "+" if text.endswith("\n") else "-"
        return f"|{chomp}\n" + text.removesuffix("\n")
    is_marked = _SPECIAL_START.match(text) and not re.match(r"[-?:][^\s]", text)
    if text.lower() in _RESERVED or is_marked or _SPECIAL.search(text) or "\n" in text:
        return json_of(text)
    return text
