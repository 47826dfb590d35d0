"""
What classes say about themselves, for people who write flows: docstrings of classes and of their properties.

A class's first paragraph is its title, the rest its description, and what stands under `Example:` is YAML. A text under
a property is what the property means; an author's own `Meta(description=…)` says the same.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any, Final

import msgspec
import yaml

EXAMPLE: Final = "Example:"


class Documentation(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one class."""

    title: str = ""
    description: str = ""
    examples: tuple[Any, ...] = ()


def of_class(cls: type[Any]) -> Documentation:
    """Return what a class says of itself; nothing when it has no text of its own."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    if not text or text.startswith(f"{cls.__name__}("):
        return Documentation()
    prose, _, example = text.partition(f"\n{EXAMPLE}\n")
    title, _, description = prose.partition("\n\n")
    return Documentation(
        title=_joined(title),
        description="\n\n".join(_joined(part) for part in description.split("\n\n") if part.strip()),
        examples=(yaml.safe_load(textwrap.dedent(example)),) if example.strip() else (),
    )


def of_properties(cls: type[Any]) -> dict[str, str]:
    """Return what is said of the properties of a class, by attribute; a subclass's word wins over its base's."""
    said: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if issubclass(each, msgspec.Struct) and each is not msgspec.Struct:
            said |= _own_properties(each)
    for field in msgspec.structs.fields(cls):
        for mark in _marks(field.type):
            if isinstance(mark, msgspec.Meta) and mark.description:
                said[field.name] = mark.description
    return said


def _marks(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


_READ: Final[dict[type[Any], dict[str, str]]] = {}
"""What has been read already: bases are asked for again with each of their subclasses."""


def _own_properties(cls: type[Any]) -> dict[str, str]:
    found = _READ.get(cls)
    if found is None:
        found = _READ[cls] = _read_properties(cls)
    return found


def _read_properties(cls: type[Any]) -> dict[str, str]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):
        return {}  # made at run time, or shipped without its source
    if not body or not isinstance(body[0], ast.ClassDef):
        return {}
    said: dict[str, str] = {}
    name: str | None = None
    for node in body[0].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            if name is not None:
                said[name] = _joined(inspect.cleandoc(node.value.value))
            name = None
        else:
            name = None
    return said


def _joined(text: str) -> str:
    return " ".join(text.split())
