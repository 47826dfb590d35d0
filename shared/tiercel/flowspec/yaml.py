"""
YAML text to plain data, with the place of every node.

Plain scalars are read as Kestra's parser does: YAML 1.1 numbers, `true` and `false` in three spellings, `null` and `~`;
dates, times and `yes`/`no` stay texts. A key that stands twice in a map is a problem. Nothing is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tiercel.errors import InvalidFlow, Problem

Path = tuple[str | int, ...]

MAX_NODES: Final = 200_000
"""Nodes of one document, aliases expanded: far above any flow, far below what a bomb of aliases needs."""
MAX_DEPTH: Final = 200
"""Levels of one document: far above any flow, far below what Python's stack holds."""
NUMBER_MIN: Final = -(2**63)
NUMBER_MAX: Final = 2**63 - 1
"""What messages carry as a number."""
MAX_CHARACTERS: Final = 10_000_000
"""Far above any flow; a longer text is refused before it is parsed."""

_INT: Final = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)"
)
_WORDS: Final[dict[str, Any]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}
_MERGE: Final = "tag:yaml.org,2002:merge"
_STRING: Final = "tag:yaml.org,2002:str"
_NUL: Final = "The text holds the character NUL, which nothing can store; leave it out."
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def plain_scalar(text: str) -> Any:
    """Return what a scalar without quotes stands for."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first.isdigit() or first in "+-.":
        if _INT.fullmatch(text):
            return _integer(text)
        if _FLOAT.fullmatch(text):
            return float(text.replace("_", ""))
    return text


def _integer(text: str) -> int | str:
    digits = text.replace("_", "").lstrip("+")
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    try:
        if digits[:2] in ("0b", "0x", "0o"):
            return sign * int(digits, 0)
        return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
    except ValueError:
        return text  # no digits behind the prefix, or more digits than a number may have


class Document:
    """One YAML document: its plain data, and where each part of it stands in the text."""

    __slots__ = ("_root", "data", "problems", "text")

    def __init__(self, root: Node | None, text: str) -> None:
        self._root = root
        self.text = text
        self.problems: list[Problem] = []
        self.data: Any = None
        if root is not None:
            self.data = _Constructor(self.problems).construct(root, 0, ())

    def place(self, path: Path) -> tuple[int, int] | None:
        """Return line and column, from 1, of the deepest node on the path that exists."""
        node = self._root
        if node is None:
            return None
        mark = node.start_mark
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            mark, node = found
        return mark.line + 1, mark.column + 1


def _step(node: Node, step: str | int) -> tuple[Any, Node] | None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == str(step):
                return key.start_mark, value
    elif isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step].start_mark, node.value[step]
    return None


class _Constructor:
    """Makes plain data of nodes, within bounds, and notes keys that stand twice."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.count = 0

    def construct(self, node: Node, depth: int, path: Path) -> Any:
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise InvalidFlow(
                [
                    _problem(
                        f"The text has more than {MAX_NODES} nodes or {MAX_DEPTH} levels; make it smaller.",
                        node.start_mark,
                    )
                ]
            )
        if isinstance(node, ScalarNode):
            if "\0" in node.value:
                self.problems.append(_problem(_NUL, node.start_mark, path))
            return node.value if node.style else self._scalar(node, path)
        if isinstance(node, SequenceNode):
            return [self.construct(item, depth + 1, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, MappingNode):
            return self._mapping(node, depth, path)
        raise InvalidFlow([_problem("This kind of YAML node is not known.", node.start_mark)])

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        value = _plain(node)
        if type(value) is int and not NUMBER_MIN <= value <= NUMBER_MAX:
            message = "The number has more than 64 bits; put it in quotes to keep it as a text."
            self.problems.append(_problem(message, node.start_mark, path))
            return node.value
        return value

    def _mapping(self, node: MappingNode, depth: int, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for part in self._parts(self.construct(value_node, depth + 1, path)):
                    merged = {**part, **merged}
                continue
            if not isinstance(key_node, ScalarNode):
                self.problems.append(
                    _problem(
                        "Validation error: a key must be a text; put an expression in quotes.",
                        key_node.start_mark,
                        path,
                    )
                )
                continue
            key = key_node.value
            if "\0" in key:
                self.problems.append(_problem(_NUL, key_node.start_mark, path))
            if key in result:
                self.problems.append(_problem(f"Duplicate field '{key}'", key_node.start_mark, (*path, key)))
            result[key] = self.construct(value_node, depth + 1, (*path, key))
        return {**merged, **result} if merged else result

    @staticmethod
    def _parts(value: Any) -> Iterator[dict[str, Any]]:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield part


def _plain(node: ScalarNode) -> Any:
    """Return what a plain scalar stands for; one that is tagged as a text stays a text."""
    value = plain_scalar(node.value)
    if isinstance(value, str) or node.tag != _STRING:
        return value
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(node.value[:1], [])
    return node.value if any(pattern.match(node.value) for _, pattern in resolvers) else value


def _problem(message: str, mark: Any, path: Path = ()) -> Problem:
    return Problem(path_text(path), message, mark.line + 1, mark.column + 1)


def path_text(path: Path) -> str:
    """Write a path as authors read it: `tasks[1].retry.type`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else step)
    return text


def read_documents(text: str) -> list[Document]:
    """
    Read all documents of a text; empty ones are left out.

    Raises InvalidFlow when it is not YAML, with the place and the reason.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidFlow([Problem("", f"The text has more than {MAX_CHARACTERS} characters; make it smaller.")])
    try:
        return [Document(root, text) for root in yaml.compose_all(text, Loader=_Loader) if root is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise InvalidFlow([Problem("", f"YAML parsing error: {reason} at line {line}", line, column)]) from error
    except yaml.YAMLError as error:
        raise InvalidFlow([Problem("", f"YAML parsing error: {error} at line 1", 1, 1)]) from error
    except RecursionError as error:
        raise InvalidFlow(
            [Problem("", "YAML parsing error: the text is nested too deeply; flatten it.", 1, 1)]
        ) from error
