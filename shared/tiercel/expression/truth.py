"""
Whether the text that a condition renders to means true: one answer for tasks, triggers and their `when`.

The conditions `Expression` and `ExecutionOutputs` have one of their own (`condition/evaluate.py`): there `0` is true.
"""

from __future__ import annotations

from typing import Final

_FALSE: Final = frozenset({"", "false", "0", "-0"})
"""What Kestra takes for false; every other text is true."""


def means_true(text: str | None) -> bool:
    """Tell whether a rendered text means true; null does not."""
    return text is not None and text.strip() not in _FALSE
