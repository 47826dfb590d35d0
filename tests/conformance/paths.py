"""
Dotted paths into plain data, as cases write them: `a.b`, `a.[0].b`, `a[-1]`, `headers.["content-length"].[0]`.

A key that holds dots and exists as it is wins over the path that it spells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_PART: Final = re.compile(r"""\[\s*(-?\d+)\s*\]|\[\s*(?:"([^"]*)"|'([^']*)')\s*\]|([^.\[\]]+)""")


class Absent:
    """What a path leads to when nothing is there."""

    def __repr__(self) -> str:
        return "<absent>"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent()


def parts(path: str) -> list[str | int]:
    """Split a path into keys and indexes."""
    found: list[str | int] = []
    for index, double, single, plain in _PART.findall(path):
        found.append(int(index) if index else double or single or plain)
    return found


def step(value: Any, part: str | int) -> Any:
    """Follow one key or index; ABSENT when it leads nowhere."""
    if isinstance(value, Mapping):
        return value.get(part, value.get(str(part), ABSENT))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        try:
            return value[int(part)]
        except (ValueError, IndexError):
            return ABSENT
    return ABSENT


def walk(value: Any, path: str) -> Any:
    """Return what a path leads to, ABSENT when nothing is there."""
    if not path:
        return value
    if isinstance(value, Mapping) and path in value:
        return value[path]
    return _walk(value, parts(path))


def _walk(value: Any, steps: list[str | int]) -> Any:
    if not steps:
        return value
    found = step(value, steps[0])
    if not isinstance(found, Absent):
        deeper = _walk(found, steps[1:])
        if not isinstance(deeper, Absent):
            return deeper
    # A key with dots in it: try the longest one that exists.
    if isinstance(value, Mapping):
        for length in range(len(steps), 1, -1):
            key = ".".join(str(part) for part in steps[:length])
            if key in value:
                return _walk(value[key], steps[length:])
    return ABSENT
