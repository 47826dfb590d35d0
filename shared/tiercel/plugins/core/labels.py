"""Labels as tasks write them: a map, a list of `key` and `value`, or JSON of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tiercel.model.property import constant
from tiercel.model.system import is_system_label


def labels_problem(labels: Any) -> str | None:
    """Tell why a constant text stands for no labels, None when it does, or is none."""
    text = constant(labels)
    if text is None:
        return None
    try:
        found = msgspec.json.decode(text.encode())
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, Mapping) or (isinstance(found, list) and all(_is_label(each) for each in found)):
        return None
    return f"must be a map, or a list of maps with 'key' and 'value', but is '{text}'"


def _is_label(value: Any) -> bool:
    return isinstance(value, Mapping) and "key" in value


def system_labels(labels: Any) -> Iterator[str]:
    """Yield the names of labels that belong to the system, as far as they are constants."""
    text = constant(labels)
    if text is not None and labels_problem(text) is None:
        labels = msgspec.json.decode(text.encode())
    if isinstance(labels, Mapping):
        names = list(labels)
    else:
        names = [each["key"] for each in labels if _is_label(each)] if isinstance(labels, list) else []
    yield from (name for name in names if isinstance(name, str) and is_system_label(name))
