"""All filters, by the noun they work on; one table per dialect."""

from __future__ import annotations

from collections.abc import Mapping

from tiercel.expression.filters import collections, dates, encoding, formats, jq, numbers, patterns, text
from tiercel.expression.signature import Filter

_ALL: Mapping[str, Filter] = {
    **text.FILTERS,
    **patterns.FILTERS,
    **collections.FILTERS,
    **numbers.FILTERS,
    **encoding.FILTERS,
    **formats.FILTERS,
    **jq.FILTERS,
    **dates.FILTERS,
}
# What 2.x has taken away.
_FIRST_ONLY = frozenset({"json"})


def of(dialect: str) -> Mapping[str, Filter]:
    """Return the filters of a dialect."""
    if dialect == "1.x":
        return _ALL
    return {name: filter_ for name, filter_ in _ALL.items() if name not in _FIRST_ONLY}
