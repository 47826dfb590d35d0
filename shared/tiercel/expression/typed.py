"""
Joins what a typed rendering has written.

A lone value keeps its type. In the 1.x dialect values of one type add up: numbers as numbers, texts as text; in 2.x
all scalars are joined as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiercel.expression.failure import ArgumentRefused
from tiercel.expression.printing import java_text
from tiercel.expression.values import Byte, Float32, Long, Short, class_name, is_number


def joined(values: Sequence[Any], dialect: str) -> Any:
    """Return one value out of the pieces; None when nothing was written."""
    found = pieces(values, dialect)
    if not found:
        return None
    result = found[0]
    for piece in found[1:]:
        result = _concatenated(result, piece) if dialect == "2.x" else _added(result, piece)
    return result


def pieces(values: Sequence[Any], dialect: str) -> Sequence[Any]:
    """Return what was written; the line break that ends a YAML block must not turn a list into a failure."""
    keeps_blanks = all(map(_is_scalar if dialect == "2.x" else _is_text, values))
    return values if keeps_blanks else [value for value in values if not _is_blank(value)]


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool)) or is_number(value)


def _concatenated(first: Any, second: Any) -> Any:
    if not _is_scalar(first) or not _is_scalar(second):
        raise ArgumentRefused(f"Cannot concat {class_name(first)} with {class_name(second)}")
    return java_text(first) + java_text(second)


def _added(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return java_text(first) + java_text(second)
    if is_number(first) and is_number(second) and _sum_class(first) == _sum_class(second):
        return _sum(first, second)
    raise ArgumentRefused(f"Tried to add {class_name(second)} to {class_name(first)}")


def _sum_class(value: Any) -> str:
    # In Java the sum of two shorts or bytes is an int, to which the next one is added.
    return "java.lang.Integer" if isinstance(value, (Short, Byte)) else class_name(value)


def _sum(first: Any, second: Any) -> Any:
    if isinstance(first, Float32):
        return Float32(first + second)
    if isinstance(first, Long):
        return Long.wrap(first + second)
    return int(first + second) if isinstance(first, int) else first + second
