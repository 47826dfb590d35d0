"""Dotted names as maps within maps: what expressions see of inputs and labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Turn dotted names into maps within maps; of two values for one name, or for a part of it, the first wins."""
    result: dict[str, Any] = {}
    for name, value in pairs:
        *folders, last = name.split(".")
        level: Any = result
        for folder in folders:
            level = level.setdefault(folder, {})
            if not isinstance(level, dict):
                break
        else:
            level.setdefault(last, value)
    return result
