"""Sizes as flows write them: a number of bytes, or one with a unit (`512MB`, `1Gi`, `64m`)."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Read a size in bytes, at least one; raise ValueError with a sentence for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"'{text}' is not a size; write it as '10MB' or '512KB'.")
    return max(1, int(float(match[1]) * _UNITS[match[2].upper()]))


def size_problem(text: str) -> str | None:
    """Tell why a text is no size, None when it is one."""
    try:
        parse_size(text)
    except ValueError as error:
        return str(error)
    return None
