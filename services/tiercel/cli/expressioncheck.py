"""What is wrong with an expression before it is evaluated: how it is written, and names that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tiercel.errors import ExpressionError
from tiercel.expression import nodes
from tiercel.expression.rendering import Engine
from tiercel.expression.statements import parse

_ENGINES: Final = (Engine(dialect="2.x"), Engine(dialect="1.x"))
"""The newest first: what it says of a mistake is shown."""
_INSIDE_ONLY: Final = frozenset({"block", "parent", "super"})
"""Functions of the template itself, which no table holds."""


def problem(text: str) -> str | None:
    """Return why an expression cannot be evaluated in either dialect, None when nothing speaks against it."""
    try:
        template = parse(text)
    except ExpressionError as error:
        return str(error)
    except RecursionError:
        return "The template is nested too deeply."
    reasons = [next(_unknown(template, engine), None) for engine in _ENGINES]
    return None if None in reasons else reasons[0]


def _unknown(template: Any, engine: Engine) -> Iterator[str]:
    parts = list(_parts(template))
    macros = {part.name for part in parts if isinstance(part, nodes.Macro)}
    for part in parts:
        match part:
            case nodes.Call(name=name) if name not in engine.functions and name not in macros | _INSIDE_ONLY:
                yield f"Function '{name}' does not exist."
            case nodes.Filtered(name=name) if name not in engine.filters:
                yield f"Filter '{name}' does not exist."
            case nodes.FilterBlock(filters=filters):
                yield from (f"Filter '{name}' does not exist." for name, _, _ in filters if name not in engine.filters)
            case nodes.Tested(name=name) if name not in engine.tests:
                yield f"Test '{name}' does not exist."
            case _:
                continue


def _parts(value: Any) -> Iterator[Any]:
    """Yield every node of a parsed text."""
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from _parts(getattr(value, name))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _parts(part)
