"""
JSON as Jackson reads it.

Python's reader also takes `NaN` and `Infinity`, which are no JSON, and which nothing that stores values could write.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads(text: str | bytes) -> Any:
    """Read one JSON value; raise ValueError when it is none, or nested too deeply."""
    try:
        return json.loads(text, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError("the value is nested too deeply") from error


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
