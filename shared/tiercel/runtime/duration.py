"""Durations as operators write them: `5m`, `500ms`, `1h30m`, and what flows write (`PT5M`, a number of seconds)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

from tiercel.model.duration import parse_duration

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PARTS: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def read_duration(value: Any) -> timedelta:
    """Return a duration; raise ValueError with a sentence when it is none."""
    if isinstance(value, timedelta | int | float):
        return parse_duration(value)
    text = str(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return timedelta(seconds=float(text))
    if re.fullmatch(f"(?:{_PARTS.pattern})+", text):
        return timedelta(seconds=sum(float(amount) * _SECONDS[unit] for amount, unit in _PARTS.findall(text)))
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(f"'{text}' is no duration; write it as 30s, 5m, 1h30m or PT5M.") from None
