"""
Outputs as plain data: what JSON and MessagePack can carry, written as Kestra's mapper writes it.

Most outputs are plain already and are returned as they are; only values that are not are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.expression.printing import java_text, plain_text

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
"""What MessagePack can carry; a larger number becomes the text of its digits."""
_DEPTH_MAX: Final = 200
"""Nesting of one output; deeper data cannot be written as JSON by most readers."""


def plain(value: Any, depth: int = 0) -> Any:
    """Return the value as maps with text keys, lists, texts, numbers, booleans and null."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if _INT_MIN <= value <= _INT_MAX else str(value)
    if depth > _DEPTH_MAX:
        raise TaskFailed(f"An output is nested deeper than {_DEPTH_MAX} levels; store it as a file instead.")
    if kind is dict:
        return {_name(name): plain(item, depth + 1) for name, item in value.items()}
    if kind is list or kind is tuple:
        return [plain(item, depth + 1) for item in value]
    return _other(value, depth)


def _name(name: Any) -> str:
    return name if type(name) is str else java_text(name)


def _other(value: Any, depth: int) -> Any:
    if isinstance(value, float):
        # JSON has no word for these.
        return java_text(value) if value != value or value - value != 0 else float(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, int):
        return plain(int(value), depth)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {_name(name): plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Decimal):
        is_whole = value == value.to_integral_value() and "." not in str(value)
        return plain(int(value) if is_whole else float(value), depth)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (date, time)):
        return plain_text(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return plain(msgspec.to_builtins(value), depth)
    return str(value)
